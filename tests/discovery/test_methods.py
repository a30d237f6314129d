"""Every method ranks what it says it ranks; on a planted circuit one knows which are right."""

import numpy as np
import pytest
import torch
from tiny import tiny

from crosslens import (
    Axioms,
    collection,
    Contrast,
    CrossEncoder,
    discover,
    head,
    load,
    neuron,
    Pairs,
    plant,
    Site,
)
from crosslens.discovery import forward_passes, Method, methods_for, written_of_matches
from crosslens.faithfulness import Graph
from crosslens.planted import Planted
from crosslens.stats import auroc, r_precision


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant("bm25?seed=1&decoys=2&talkers=2&busy")


@pytest.fixture(scope="module")
def model(planted: Planted) -> CrossEncoder:
    return load(planted).double()


@pytest.fixture(scope="module")
def contrast(model: CrossEncoder) -> Contrast:
    return Axioms(model, collection()).tfc1(2)


def found(planted: Planted, model: CrossEncoder, contrast: Contrast, name: str) -> float:
    """The AUROC of a method over the heads of a planted model."""
    units = model.heads()
    truth = np.array([unit in planted.circuit for unit in units])
    return auroc(discover(model, contrast, units, name).numbers.double().numpy(), truth)


@pytest.mark.parametrize(
    "name", ["patching", "patching reversed", "attribution patching", "EAP, summed", "chain"]
)
def test_effects_find_the_planted_heads(name, planted, model, contrast):
    assert found(planted, model, contrast, name) == 1


@pytest.mark.parametrize(
    "name", ["attention to matches", "written of matches", "activation difference"]
)
def test_looks_are_fooled_by_heads_that_nobody_reads(name, planted, model, contrast):
    assert found(planted, model, contrast, name) < 0.9


def test_what_tells_the_score_directly_is_the_scoring_head_alone(planted, model, contrast):
    (scoring,) = planted.circuit.roles["relevance scoring"]
    for name in ("direct attribution", "path patching to the score"):
        numbers = discover(model, contrast, model.heads(), name).numbers
        assert numbers[model.heads().index(scoring)] == pytest.approx(1, abs=1e-3)
        assert numbers.sum() == pytest.approx(1, abs=1e-3)


def test_the_length_neuron_is_found_by_what_is_lost_not_by_what_the_signal_moves(
    planted, model, contrast
):
    units = [neuron(layer, i) for layer in range(4) for i in range(16)]
    truth = np.array([unit in planted.circuit for unit in units])

    def share(name: str) -> float:
        return r_precision(discover(model, contrast, units, name).numbers.numpy(), truth)

    assert share("zero ablation") == 1 and share("patching") < 0.1


def test_a_backup_is_missed_by_slopes_and_by_single_ablation_and_found_by_patching(contrast):
    planted = plant("bm25?seed=1&backup&decoys=0")
    model = load(planted).double()
    (backup,) = planted.circuit.roles["backup matching"]

    def share(name: str) -> float:
        largest = discover(model, contrast, model.heads(), name)
        return (largest.numbers[model.heads().index(backup)] / largest.numbers.max()).item()

    assert share("patching") > 0.99 and share("chain") > 0.99
    for name in ("zero ablation", "attribution patching", "attribution patching, 5 steps"):
        assert share(name) < 0.05


def test_edges_that_carry_the_match_come_first(contrast):
    planted = plant("bm25?seed=1&layers=3&heads=2&decoys=1&busy")
    model, contrast = load(planted).double(), contrast.take([0])
    matching, scoring = planted.placement.matching, planted.placement.scoring
    written = [
        f"full_embed->{head(*matching, 'k')}",
        f"{head(*matching)}->{head(*scoring, 'v')}",
        f"{head(*scoring)}->logits",
    ]
    edges = Graph.of(model).edges
    # the slope of a saturated softmax is 0: plain EAP does not see the words reach the keys; and
    # that both ends are members does not make an edge one
    for name, n in (
        *(("edge patching", 3), ("EAP-IG", 3)),
        *(("EAP", 2), ("product of ends", 1), ("random", 0)),
    ):
        largest = discover(model, contrast, edges, name).largest(3)
        assert len({*map(str, largest)} & {*written}) == n


def test_random_is_chance_and_always_the_same(planted, model, contrast):
    many = Axioms(model, collection()).tfc1(40)
    drawn = [found(planted, model, many.take([i]), "random") for i in range(40)]
    assert 0.4 < np.mean(drawn) < 0.6 and np.std(drawn) > 0.1
    again = [discover(model, contrast, model.heads(), "random").numbers for _ in range(2)]
    assert torch.equal(*again)


def test_every_method_ranks_a_model_without_a_circuit():
    model = load(*tiny("bert"))
    query = "why do cats purr"
    texts = "the {} of the town purr when they rest", "they rest by the {} and the river"
    sides = (model.pair(query, *(t.format(word) for t in texts)) for word in ("car", "cats"))
    contrast, units = Contrast.between(*sides), model.heads()
    assert len(methods_for(units)) >= 20 and len(methods_for([neuron(0, 1)])) >= 12
    for method in methods_for(units):
        result = discover(model, contrast, units, method)
        assert result.numbers.shape == (len(units),) and result.numbers.isfinite().all()
        assert (result.numbers >= 0).all() or method.name == "attention to matches"
        assert sorted(map(str, result.ranking)) == sorted(map(str, units))
        assert set(result.frame()["part"]) == {*map(str, units)} and result.seconds >= 0
    assert [method.name for method in methods_for(Graph.of(model).edges)] == [
        *("edge patching", "EAP", "EAP-IG", "product of ends", "random")
    ]


def test_a_method_of_ones_own_is_a_function(model, contrast):
    def place(model: CrossEncoder, contrast: Contrast, units: list) -> torch.Tensor:
        return torch.arange(1.0 * len(units))

    last = Method("last", "where it stands", place, lambda part: True)
    assert discover(model, contrast, model.heads(), last).largest(1) == [model.heads()[-1]]


def test_what_cannot_be_ranked(model, contrast):
    with pytest.raises(LookupError, match="no method is called 'patchin'; did you mean patching"):
        discover(model, contrast, model.heads(), "patchin")
    with pytest.raises(ValueError, match=r"'EAP' cannot rank 0.z\[head=0\]; those that can: patch"):
        discover(model, contrast, model.heads(), "EAP")
    with pytest.raises(ValueError, match="'EAP, summed' cannot rank 0.mlp_post"):
        discover(model, contrast, [neuron(0, 1)], "EAP, summed")
    with pytest.raises(ValueError, match="no parts to rank"):
        discover(model, contrast, [], "patching")
    with pytest.raises(ValueError, match="flows are summed over tokens"):
        discover(model, contrast, [Site("z", 0).at(head=1, pos="cls")], "conductance")
    with pytest.raises(ValueError, match="is no head"):
        discover(model, contrast, [Site("z", 0).at()], "attention to matches")


def test_cost_is_counted_in_forward_passes(model, contrast):
    def cost(name: str, n: int) -> float:
        units = model.heads()[:n]
        return forward_passes(lambda: discover(model, contrast, units, name), model, contrast)

    once = forward_passes(lambda: model(contrast.base), model, contrast)
    assert once == 1
    assert cost("random", 16) == 0
    assert 1 < cost("attention to matches", 16) < 2
    # one pass back serves all units; exact effects take a part of a pass for each, hardly any
    # for the heads of the last block, of which [CLS] alone is computed
    assert cost("attribution patching", 16) == pytest.approx(cost("attribution patching", 4))
    few, half, most, every = (cost("patching", n) for n in (4, 8, 12, 16))
    assert half > few + 1.4 and every > few + 1.5
    assert most < every < most + 0.01


def pairs_of(model: CrossEncoder) -> Pairs:
    return model.pair("why do cats purr", "cats purr when they rest", "the car , and the cats purr")


def test_written_of_matches_is_the_norm_of_pattern_times_value_times_output(any_model):
    model, pairs = any_model.double(), pairs_of(any_model)
    same = pairs.token[:, :, None] == pairs.token[:, None, :]
    copies = same & pairs.where("query")[:, :, None] & pairs.where("document")[:, None, :]
    copies = copies.mT if model.is_causal else copies
    group = model.cfg.n_heads // model.sizes["kv_head"]
    with model.record("pattern", "v") as cache:
        plain = model(pairs)
    for layer, row in enumerate(written_of_matches(model, pairs)):
        for i, value in enumerate(row):
            pattern = cache[Site("pattern", layer)][:, i] * copies
            read = pattern @ cache[Site("v", layer)][:, :, i // group]
            norm = (read @ model.blocks[layer].attn.W_O[i]).norm(dim=-1)
            torch.testing.assert_close(value, norm[copies.any(dim=-1)].mean())
    torch.testing.assert_close(model(pairs), plain)
