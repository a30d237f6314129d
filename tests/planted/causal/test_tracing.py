"""The chain finds the planted heads and edges, all of them and no others, wherever they sit."""

import pytest

from crosslens import (
    Axioms,
    collection,
    Contrast,
    Edge,
    head,
    load,
    NotMeasurable,
    plant,
    Site,
    trace,
)
from crosslens.planted import CausalRecipe


LOGITS = Site("logits").at()
RECIPES = [
    CausalRecipe(
        seed=seed,
        layers=(5, 4, 3)[seed % 3],
        heads=(3, 4)[seed % 2],
        neurons=8,
        decoys=1 + seed % 2,
        talkers=seed % 2,
        busy=seed % 3 == 2,
        k1=(1.2, 1.05, 2.0)[seed % 3],
    )
    for seed in range(20)
]


@pytest.fixture(scope="module")
def contrast() -> Contrast:
    """The shortest of some, for all: planted models read texts alike."""
    some = Axioms(load("planted:causal?layers=3&decoys=0"), collection()).tfc1(32)
    return some.take(some.base.lengths.argsort()[:8].tolist())


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_the_chain_is_exactly_what_was_planted(recipe, contrast):
    """Of the planted heads, the segment and repetition heads say the same on both sides of a
    contrast that adds a word to the document."""
    planted = plant(recipe)
    model, at = load(planted), planted.placement
    chain = trace(model, contrast)
    scoring, matching = head(*at.scoring), {head(*place) for place in at.matchers}
    assert [set(stage) for stage in chain.members] == [{scoring}, matching]
    moved = {edge for edge in planted.circuit.edges if edge.sender in {scoring, *matching}}
    assert set(chain.edges) == moved
    assert moved == {
        Edge(scoring, LOGITS),
        *(Edge(each, head(*at.scoring, "v")) for each in matching),
    }
    roles = planted.circuit.roles
    found = chain.circuit("found", planted.name).roles
    assert found == {name: roles[name] for name in ("relevance scoring", "matching")}


def test_a_query_that_repeats_a_term_leads_to_the_head_that_sees_it(contrast):
    """A river in place of a second "people": the repetition head tells the matching heads' keys."""
    planted = plant("causal?seed=3&layers=5")
    model = load(planted)
    words = "water money country life city house night year".split()
    documents = [f"people and {word} by the river" for word in words]
    queries = "the people people", "the people river"
    sides = [model.pairs([query] * len(documents), documents) for query in queries]
    chain = trace(model, Contrast.between(*sides))
    roles = planted.circuit.roles
    (repetition,) = {unit for unit in roles["query repetition"] if unit.site.name == "z"}
    keys = {head(*place, "k") for place in planted.placement.matchers}
    assert {unit for stage in chain.members for unit in stage} == {
        *roles["matching"],
        *roles["relevance scoring"],
        repetition,
    }
    assert {edge.receiver for edge in chain.edges if edge.sender == repetition} == keys


def test_a_circuit_is_not_found_where_no_term_is_added(contrast):
    model = load("planted:causal")
    control = Axioms(model, collection()).tfc1(4, control=True)
    with pytest.raises(NotMeasurable, match="no contrast to recover"):
        trace(model, control)
