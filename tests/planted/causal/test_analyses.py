"""Analyses of heads ask where the text stands that reads: in a decoder the document's tokens."""

import pytest
from crosslens.analyses.heads_at_query import restored_at_query, strongest

from crosslens import Axioms, collection, head, load, plant


@pytest.mark.parametrize("name", ["bm25?seed=1", "causal?seed=1"])
def test_the_head_that_carries_a_match_is_found_where_it_writes(name):
    planted = plant(name)
    model = load(planted)
    restored = restored_at_query(model, Axioms(model, collection()).tfc1(8))
    found = [model.heads()[i] for i in strongest(restored, 4)]
    assert found == [head(*planted.placement.matching)]
