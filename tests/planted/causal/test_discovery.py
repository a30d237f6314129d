"""Methods rank the planted heads and edges of a decoder first; what only looks is misled."""

import numpy as np
import pytest
import torch

from crosslens import (
    attribution_patching,
    Axioms,
    collection,
    Contrast,
    CrossEncoder,
    discover,
    Edge,
    edge_attribution,
    head,
    load,
    neuron,
    patching,
    path_patching,
    plant,
    Site,
    Unit,
)
from crosslens.attribution.edges.edge_names import written
from crosslens.faithfulness import keep_edges, keep_nodes
from crosslens.planted import Planted
from crosslens.stats import auroc, r_precision


@pytest.fixture(scope="module", params=[1, 2, 3])
def planted(request) -> Planted:
    return plant(f"causal?seed={request.param}&layers=5&decoys=2&talkers=2&busy")


@pytest.fixture(scope="module")
def model(planted: Planted) -> CrossEncoder:
    return load(planted).double()


@pytest.fixture(scope="module")
def contrast(model: CrossEncoder) -> Contrast:
    return Axioms(model, collection()).tfc1(4)


@pytest.fixture(scope="module")
def moved(planted: Planted) -> set[Unit]:
    """The heads that a word added to the document moves: matching and scoring."""
    at = planted.placement
    return {head(*place) for place in (*at.matchers, at.scoring)}


def of_heads(model: CrossEncoder, members: set[Unit]) -> np.ndarray:
    return np.array([unit in members for unit in model.heads()])


def test_patching_restores_by_the_planted_heads_what_was_planted(planted, model, contrast, moved):
    effect = patching(model, contrast, model.heads())
    (left_before, left_after), k1 = planted.placement.matchers, planted.recipe.k1
    for value in (effect.of(head(*left_before)) - k1, 1 - k1 - effect.of(head(*left_after))):
        k = value  # the how-manyth the added word is: alone, k1 + k and 1 - k1 - k are restored
        torch.testing.assert_close(k, k.round(), rtol=0, atol=1e-3)
        assert (k >= 1 - 1e-3).all()
    scoring = effect.of(head(*planted.placement.scoring))
    torch.testing.assert_close(scoring, torch.ones_like(scoring), rtol=1e-3, atol=0)
    others = [unit for unit in model.heads() if unit not in moved]
    assert max(effect.of(unit).abs().max() for unit in others) < 1e-4


@pytest.mark.parametrize(
    "name",
    ["patching", "patching reversed", "search", "attribution patching", "EAP, summed", "chain"]
    + ["EAP-IG, summed", "conductance from base"],
)
def test_effects_find_the_planted_heads(name, model, contrast, moved):
    numbers = discover(model, contrast, model.heads(), name).numbers.double().numpy()
    assert auroc(numbers, of_heads(model, moved)) == 1


@pytest.mark.parametrize("name", ["attention to matches", "written of matches", "random"])
def test_looks_are_misled_by_decoys(name, model, contrast, moved):
    numbers = discover(model, contrast, model.heads(), name).numbers.double().numpy()
    assert auroc(numbers, of_heads(model, moved)) < 0.9


def test_decoys_are_attended_like_the_matching_head_that_they_copy(planted, model, contrast):
    at = planted.placement
    numbers = discover(model, contrast, model.heads(), "attention to matches").numbers
    seen = dict(zip(model.heads(), numbers.tolist(), strict=True))
    for decoy in (*at.decoy_heads, *at.talkers):
        assert seen[head(*decoy)] == pytest.approx(seen[head(*at.matchers[1])], rel=1e-4)


def test_the_whole_circuit_is_found_by_what_is_lost_without_it(planted, model, contrast):
    every = np.array([unit in planted.circuit for unit in model.heads()])
    found = discover(model, contrast, model.heads(), "zero ablation").numbers.numpy()
    assert auroc(found, every) == 1
    restored = discover(model, contrast, model.heads(), "patching").numbers.numpy()
    assert (
        auroc(restored, every) < 0.9
    )  # the segment and repetition heads say the same on both sides


def test_the_neuron_of_rarity_is_found_by_what_is_lost(planted, model, contrast):
    """That of repetition is needed by no query that does not repeat itself."""
    every = [neuron(layer, i) for layer in range(5) for i in range(16)]
    truth = np.array([unit in planted.circuit.roles["query rarity"] for unit in every])
    lost = discover(model, contrast, every, "zero ablation").numbers.numpy()
    assert r_precision(lost, truth) == 1
    assert r_precision(discover(model, contrast, every, "patching").numbers.numpy(), truth) < 1


def test_only_the_scoring_head_tells_the_score(planted, model, contrast):
    scoring = head(*planted.placement.scoring)
    effects = path_patching(model, contrast, model.heads())
    for unit in model.heads():
        expected = torch.full_like(effects.of(unit), float(unit == scoring))
        torch.testing.assert_close(effects.of(unit), expected, rtol=1e-3, atol=1e-4)


def test_where_the_score_is_linear_the_estimate_is_exact(model, contrast, moved):
    """Once the tokens are read, the score is a sum over heads: slopes say what patching says."""
    estimate, exact = (
        method(model, contrast, sorted(moved)) for method in (attribution_patching, patching)
    )
    torch.testing.assert_close(estimate.recovered, exact.recovered, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_integrated_gradients_find_the_planted_edges_and_no_others(seed):
    planted = plant(f"causal?seed={seed}&layers={3 + seed}&heads=3&decoys=1")
    model, at = load(planted).double(), planted.placement
    texts = "people and a river", "people and a market"
    more, base = (model.pair("river", text) for text in texts)
    effects = edge_attribution(model, Contrast.between(base, more), steps=32)
    strong = {written(each) for each in effects.edges if effects.of(each).abs() > 0.02}
    matching = ["a{}.h{}".format(*place) for place in at.matchers]
    scoring = "a{}.h{}".format(*at.scoring)
    assert strong == {
        *(f"input->{each}<q>" for each in matching),  # the token that reads looks for its own term
        *(f"input->{each}<k>" for each in matching),  # and is one of those that it reads
        *(f"{each}->{scoring}<v>" for each in matching),
        f"{scoring}->logits",
    }
    assert strong <= {written(each) for each in planted.circuit.edges}


def test_what_flows_from_padding_flows_through_every_planted_head(planted, model, contrast):
    every = np.array([unit in planted.circuit for unit in model.heads()])
    flow = discover(model, contrast, model.heads(), "conductance").numbers.numpy()
    assert auroc(flow, every) == 1


def test_the_planted_nodes_and_edges_alone_restore_the_contrast():
    """And without one of the matching heads, or one of its edges, they do not."""
    planted = plant("causal?seed=1&layers=3&heads=3&decoys=1&busy")
    model, at = load(planted).double(), planted.placement
    contrast = Axioms(model, collection()).tfc1(2)
    nodes, less = planted.circuit.units, planted.circuit.units - {head(*at.matching)}
    kept = keep_nodes(model, contrast, [nodes, less]).restored
    torch.testing.assert_close(kept[0], torch.ones_like(kept[0]), rtol=1e-3, atol=0)
    assert (kept[1] < 0).all()  # what is left after an occurrence is taken off all the same
    edges = planted.circuit.edges
    less = edges - {Edge(head(*at.matching), head(*at.scoring, "v"))}
    kept = keep_edges(model, contrast, [edges, less]).restored
    torch.testing.assert_close(kept[0], torch.ones_like(kept[0]), rtol=1e-3, atol=0)
    assert (kept[1] < 0).all()


def test_each_axiom_acts_as_bm25_has_it():
    synonyms = {"car": "automobile", "cost": "price", "rock": "stone"}
    clusters = ",".join(f"{term}+{other}" for term, other in synonyms.items())
    model = load(plant(f"causal?synonyms={clusters}"))
    axioms = Axioms(model, collection(), synonyms=synonyms)

    def change(contrast: Contrast) -> torch.Tensor:
        with torch.no_grad():
            return model(contrast.more) - model(contrast.base)

    assert (change(axioms.tfc1(8)) > 0.1).all()
    assert (change(axioms.stmc1(4)) > 0.02).all()
    unrelated = Axioms(load("planted:causal"), collection(), synonyms=synonyms).stmc1(4)
    plain = load("planted:causal")
    assert (plain(unrelated.more) - plain(unrelated.base)).abs().max() < 1e-4
    assert change(axioms.tfc1(8, control=True)).abs().max() < 1e-4
    assert change(axioms.lnc2(4)).abs().max() < 1e-4  # b = 0: length does not count
    assert (change(axioms.tdc(8)) > 0).all()
    levels = torch.stack([change(level) for level in axioms.saturation(8)])
    added = levels.diff(dim=0, prepend=torch.zeros_like(levels[:1]))
    assert (added > 0).all() and (added.diff(dim=0) < 0).all()  # each adds, and less than the last


def test_the_embedding_of_the_document_carries_the_signal_to_the_last_token(model, contrast):
    """Before the first block the added word differs; at the end the scored row does."""
    first, last = Site("resid_pre", 0), Site("resid_post", model.cfg.n_layers - 1)
    units = [first.at(pos="D_inj"), last.at(pos="sep2"), last.at(pos="D_inj")]
    added, scored, elsewhere = patching(model, contrast, units).mean.tolist()
    assert (added, scored) == pytest.approx((1, 1), abs=1e-3) and abs(elsewhere) < 1e-4
