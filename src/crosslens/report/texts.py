"""The texts of a contrast as the page shows them: edits marked, the selected term underlined."""

import json
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from ..markup import around
from ..signals.frequency import tokenize, WORD
from .frames import Frame


def example(pairs: Frame) -> dict[str, Any] | None:
    """The pair whose change is the median one, its edit marked and its term underlined."""
    if pairs.empty:
        return None
    typical = pairs["change"].sub(pairs["change"].median()).abs().idxmin()
    row = pairs.loc[typical]
    return {
        "query": underlined(row["query"], row["term"]),
        "base": marked(row["base_text"], json.loads(row["base_edits"])),
        "more": marked(row["more_text"], json.loads(row["more_edits"])),
        "base_score": f"{row['base']:.2f}",
        "target_score": f"{row['target']:.2f}",
    }


def underlined(query: str, term: str) -> Markup:
    """The query with its selected term underlined: where it is a word, never a part of one."""
    words = [found.span() for found in WORD.finditer(query) if tokenize(found[0]) == tokenize(term)]
    return around(query, words, Markup("<u class='term'>{}</u>"))


def marked(text: str, edits: Sequence[Sequence[int]]) -> Markup:
    """The text with the edited words marked."""
    return around(text, edits, Markup("<mark>{}</mark>"))
