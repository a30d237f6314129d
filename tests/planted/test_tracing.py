"""The chain finds the planted heads and edges, all of them and no others, wherever they sit."""

import pytest

from crosslens import Axioms, collection, Contrast, Edge, head, load, plant, Recipe, Site, trace


LOGITS, EMBED = Site("logits").at(), Site("embed").at()
RECIPES = [
    Recipe(
        seed=seed,
        layers=4 + seed % 2,
        heads=(2, 4, 3)[seed % 3],
        neurons=8,
        decoys=1 + seed % 2,
        backup=seed % 2 == 1,
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


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_the_chain_is_exactly_what_was_planted(recipe, contrast):
    planted = plant(recipe)
    model, at = load(planted), planted.placement
    chain = trace(model, contrast)

    scoring, matching = head(*at.scoring), {head(*at.matching)}
    matching |= {head(*at.backup)} if at.backup else set()  # heard through its switch, an MLP
    assert [set(stage) for stage in chain.members] == [{scoring}, matching]
    read = head(*at.scoring, "v")
    assert set(chain.edges) == {Edge(scoring, LOGITS), *(Edge(unit, read) for unit in matching)}
    assert min(chain.edges.values()) > 0.95

    circuit = chain.circuit("found", planted.name)
    assert circuit.roles == {"relevance scoring": {scoring}, "matching": matching}


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
