import math

import numpy as np
import pytest

from crosslens.default.training.lexical import lexical_index, share


TEXTS = ["the heron waits", "a zebra and a heron", "zebra zebra zebra", "nothing here"]


def shares(query: str, texts: list[str] = TEXTS) -> np.ndarray:
    return share(lexical_index({str(i): text for i, text in enumerate(texts)}), query)


def test_a_share_is_bm25_over_the_sum_of_the_idf():
    found = shares("zebra of Timbuktu")
    lengths = np.array([2, 2, 3, 2])  # without stop words
    tf = np.array([0, 1, 3, 0])
    expected = tf / (tf + 0.9 * (1 - 0.4 + 0.4 * lengths / lengths.mean()))
    assert found == pytest.approx(expected, abs=1e-6)  # one known term: its IDF cancels


def test_a_rarer_term_weighs_more():
    found = shares("heron zebra", [*TEXTS, "zebra stripes"])
    idf = {
        word: math.log(1 + (5 - n + 0.5) / (n + 0.5)) for word, n in (("heron", 2), ("zebra", 3))
    }
    assert idf["heron"] > idf["zebra"] and found[0] > found[4]
    assert found.max() <= 1


def test_unknown_terms_score_nothing():
    assert not shares("Timbuktu").any()
