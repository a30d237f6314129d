"""Few terms and document states: what was planted is found, and its opposite is refuted."""

from copy import copy

import numpy as np
import pandas as pd
import pytest
from crosslens.circuits import document_states, few_terms
from crosslens.circuits.document_states import compared, DOCUMENT, QUERY, shifts


def words(falls: list[float], matches: list[int], pairs: int = 6) -> pd.DataFrame:
    one = pd.DataFrame({"fall": falls, "text": "w", "is_match": False})
    one.loc[matches, "is_match"] = True
    return pd.concat([one.assign(pair=i) for i in range(pairs)])


def test_of_a_planted_bm25_only_words_of_the_query_count(evidence):
    table = few_terms.deletions(evidence)
    size = table["fall"].abs().groupby([table["pair"], table["is_match"]]).max().unstack()
    assert (size[True] > 5 * size[False]).all(), "other words change the length alone"
    assert few_terms.detect(evidence).holds


@pytest.mark.parametrize(
    ("falls", "matches", "holds"),
    [
        ([9.0, 8.0] + [0.1] * 18, [0, 1], [True, True]),
        ([-9.0, -8.0] + [0.1] * 18, [0, 1], [True, True]),
        ([1.0] * 20, [0, 1, 2, 3], [False, True]),  # every word counts as much
        ([9.0, 8.0] + [0.1] * 18, [10, 11], [True, False]),  # a few decide that do not match
    ],
)
def test_few_terms_is_refuted_by_even_words_and_by_words_that_do_not_match(falls, matches, holds):
    figures = few_terms.figures_of(words(falls, matches), seed=0)
    assert [each.holds for each in figures] == holds


def test_short_documents_and_such_that_no_word_changes_do_not_count():
    for falls in ([1.0] * 9, [0.0] * 20):
        share, matched = few_terms.figures_of(words(falls, [0]), seed=0)
        assert share.is_missing and matched.is_missing


def test_a_planted_bm25_is_blind_to_the_query_at_document_tokens_and_not_the_reverse(
    evidence, reference
):
    """It matches at query tokens: the mask has no effect, exactly; the reverse destroys it."""
    free, blind = shifts(evidence, DOCUMENT), shifts(evidence, QUERY)
    np.testing.assert_allclose(free, 0, atol=1e-4)
    assert (blind > 0.1).any()
    moved = {DOCUMENT: free, QUERY: blind}
    assert compared(moved, DOCUMENT, 0).holds and not compared(moved, QUERY, 0).holds
    layer = reference.placement.matching[0]  # before it the mask changes nothing either
    np.testing.assert_allclose(shifts(evidence, QUERY, layer), 0, atol=1e-4)
    assert (shifts(evidence, QUERY, layer + 1) > 0.1).any()


def test_one_pair_alone_has_no_spread(evidence):
    few = copy(evidence)
    few.__dict__["tfc1"] = evidence.tfc1.take([0])
    with pytest.raises(ValueError, match="one pair has no spread"):
        document_states.detect(few)
