"""The chain finds the planted heads and edges, all of them and no others, wherever they sit."""

import pytest

from crosslens import Axioms, collection, Contrast, Edge, head, load, plant, Site, trace
from crosslens.planted import Recipe


LOGITS, EMBED = Site("logits").at(), Site("embed").at()
RECIPES = [
    Recipe(
        seed=seed,
        layers=5,
        heads=(3, 4)[seed % 2],
        neurons=8,
        decoys=1 + seed % 2,
        backup=seed % 3 == 1 and seed % 5 != 3,  # a suppressor speaks for more, and hides it
        contextual=seed % 4 >= 2,
        matchers=1 + (seed % 5 == 3),
        suppressor=seed % 5 == 3,
        talkers=seed % 2,
        busy=seed % 3 == 2,
        normalised=seed % 5 == 4,
        k1=(1.2, 0.9, 2.0)[seed % 3],
        b=(0.75, 0.3)[seed % 2],
    )
    for seed in range(20)
]


@pytest.fixture(scope="module")
def contrast() -> Contrast:
    """The shortest of some, for all: planted models read texts alike."""
    some = Axioms(load(plant("bm25?layers=3&heads=2&decoys=0")), collection()).tfc1(32)
    return some.take(some.base.lengths.argsort()[:4].tolist())


def is_heard(edge: Edge) -> bool:
    """By a head or the score: what goes to an MLP is counted where that is heard."""
    return edge.receiver.site.name != "mlp_pre"


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_the_chain_is_exactly_what_was_planted(recipe, contrast):
    planted = plant(recipe)
    model, at = load(planted), planted.placement
    chain = trace(model, contrast)

    heads = set(model.heads())
    scoring, truth = head(*at.scoring), planted.circuit.roles
    contextual = truth.get("contextual query representation", frozenset())
    counting = truth["matching"] | truth.get("suppression", frozenset())
    counting |= truth.get("backup matching", frozenset())
    assert [set(stage) for stage in chain.members] == [
        each for each in ({scoring}, contextual, counting) if each
    ]

    edges = {edge for edge in planted.circuit.edges if edge.sender in heads and is_heard(edge)}
    if at.backup is not None:  # it is heard through its switch, an MLP
        edges.add(Edge(head(*at.backup), head(*(at.contextual or at.scoring), "v")))
    assert set(chain.edges) == edges
    roles = {"relevance scoring": {scoring}, "matching": counting}
    if contextual:
        roles["contextual query representation"] = contextual
    assert chain.circuit("found", planted.name).roles == roles


def test_with_mlps_held_the_chain_runs_down_to_the_words(contrast):
    """The backup's switch is silent while the matching head speaks, so that the backup is not
    heard; and of all that the matching head reads, only its keys know the added word."""
    planted = plant("bm25?seed=5&layers=5&backup=1&decoys=2")
    model, at = load(planted), planted.placement
    mlps = [site.at() for site in model.sites("mlp_out")]
    senders = [EMBED, *model.heads(), *mlps]
    chain = trace(model, contrast, senders=senders, held=("z", "mlp_out"))
    scoring, matching = head(*at.scoring), head(*at.matching)
    assert chain.members == ((scoring,), (matching,), (EMBED,))
    assert set(chain.edges) == {
        Edge(scoring, LOGITS),
        Edge(matching, head(*at.scoring, "v")),
        Edge(EMBED, head(*at.matching, "k")),
    }
    assert chain.circuit("found", planted.name).roles["embedding"] == {EMBED}
