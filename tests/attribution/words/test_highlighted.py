"""Marked words are marked, others are not, and a text is never markup."""

import pandas as pd

from crosslens.words import highlighted


def test_words_are_marked_by_their_strength_and_shown_as_they_are():
    words = pd.DataFrame(
        {
            "pair": [0, 0, 0, 1, 1],
            "segment": ["query", "document", "document", "query", "document"],
            "text": ["why", "<b>cats</b>", "purr", "how", "cars"],
            "value": [0.1, 2.0, -1.0, 0.0, 0.5],
            "mark": [0.0, 1.0, 0.0, 0.0, 0.25],
        }
    )
    page = highlighted(words)
    assert page.count("<p ") == 4 and page.count("<mark ") == 2
    assert "&lt;b&gt;cats&lt;/b&gt;" in page and "<b>" not in page
    assert "40,1.00" in page and "40,0.25" in page and 'title="2"' in page
    assert page.index("why") < page.index("purr") < page.index("how") < page.index("cars")
