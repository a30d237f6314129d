import random

import pytest
import torch

from crosslens import ablate, head, neuron, patch, plant, Site
from crosslens.faithfulness import drawn_from, keep_nodes, mean_over, nodes_of


def naive(model, contrast, circuit, hook_of):
    """The score with every node outside the circuit replaced, in one full forward pass."""
    rest = [hook_of(unit) for unit in nodes_of(model) if unit not in circuit]
    with torch.no_grad(), model.hooked(*rest):
        return model(contrast.more)


def some_circuits(model):
    """Of several sizes; one begins in the last layer."""
    dice, everything = random.Random(0), nodes_of(model)
    return [
        dice.sample(everything, 4),
        dice.sample(everything, 11),
        [unit for unit in everything if unit.site.layer == 2],
    ]


def test_a_circuit_is_scored_as_one_full_forward_pass_scores_it(any_model, any_contrast):
    circuits = some_circuits(any_model)
    with torch.no_grad(), any_model.record("z", "mlp_out") as base:
        any_model(any_contrast.base)
    found = keep_nodes(any_model, any_contrast, circuits)
    for circuit, scores in zip(circuits, found.kept, strict=True):
        expected = naive(any_model, any_contrast, circuit, lambda unit: patch(unit, base))
        torch.testing.assert_close(scores, expected, rtol=1e-10, atol=1e-10)
    assert found.kept.std(dim=0).min() > 1e-6, "all alike: no test"


def test_the_rest_is_what_one_says(model, contrast):
    other, lots = contrast.base, torch.Generator().manual_seed(0)
    circuits = some_circuits(model)
    rests = ablate, mean_over(model, other), drawn_from(model, other, generator=lots)
    scores = [keep_nodes(model, contrast, circuits, rest=rest).kept for rest in (None, *rests)]
    for rest, kept in zip(rests, scores[1:], strict=True):
        for circuit, found in zip(circuits, kept, strict=True):
            torch.testing.assert_close(found, naive(model, contrast, circuit, rest))
    assert torch.stack(scores).std(dim=0).min() > 1e-6, "all alike: no test"


def test_everything_restores_all_and_nothing_restores_nothing(any_model, any_contrast):
    found = keep_nodes(any_model, any_contrast, [nodes_of(any_model), []])
    torch.testing.assert_close(found.mean, torch.tensor([1.0, 0.0]).double())
    torch.testing.assert_close(found.whole, any_model(any_contrast.more))
    if any_model.cfg.family != "modernbert" or any_model.head.reads_scored_row:
        # nothing but the other side's writes reaches [CLS], whose embedding is the same
        torch.testing.assert_close(found.empty, any_model(any_contrast.base))


@pytest.mark.parametrize("seed", range(3))
def test_the_planted_circuit_is_faithful_and_others_of_its_size_are_not(seed, added_term):
    planted = plant(f"bm25?seed={seed}&layers=4&decoys=5")
    model, contrast = added_term(planted)
    everything, dice = nodes_of(model), random.Random(seed)
    true = {head(*planted.placement.matching), head(*planted.placement.scoring)}
    drawn = [circuit for _ in range(8) if not true <= set(circuit := dice.sample(everything, 3))]
    found = keep_nodes(model, contrast, [planted.circuit, true, *drawn])
    torch.testing.assert_close(found.mean[:2], torch.ones(2), rtol=1e-3, atol=1e-3)
    assert found.mean[2:].abs().max() < 1e-3
    summary = found.summary()
    assert summary["low"][0] > 0.99 and summary["n"][0] + found.n_skipped == len(contrast)


def test_heads_alone_may_be_taken_away(model, contrast):
    heads, kept = model.heads(), model.heads()[:5]
    found = keep_nodes(model, contrast, [kept], rest=ablate, nodes=heads)
    with torch.no_grad(), model.hooked(*(ablate(u) for u in heads if u not in kept)):
        torch.testing.assert_close(found.kept[0], model(contrast.more))
    assert found.n_all == len(heads)
    with pytest.raises(LookupError, match="1.mlp_out: not among the 12 nodes"):
        keep_nodes(model, contrast, [[Site("mlp_out", 1).at()]], nodes=heads)


def test_pairs_are_taken_some_at_a_time_and_come_back_in_order(model, contrast):
    circuits = some_circuits(model)
    found = keep_nodes(model, contrast, circuits)
    alone = keep_nodes(model, contrast, circuits, at_once=1)
    torch.testing.assert_close(alone.kept, found.kept)
    reports = []
    keep_nodes(model, contrast, [], at_once=1, progress=lambda *at: reports.append(at))
    assert reports == [(1, 2), (2, 2)]


def test_a_table_has_a_row_for_every_circuit_and_pair(model, contrast):
    found = keep_nodes(model, contrast, [[head(0, 1)], [neuron(1, 3), head(2, 0, "q")]])
    frame = found.frame()
    assert len(frame) == 4 and list(frame["size"]) == [1, 1, 2, 2]
    assert list(frame["restored"]) == pytest.approx(found.restored.flatten().tolist())
    assert found.circuits[1] == {Site("mlp_out", 1).at(), head(2, 0)}
    assert list(frame["share"])[-1] == pytest.approx(2 / 15)


def test_what_is_no_node_is_refused(model, contrast):
    with pytest.raises(ValueError, match="every circuit keeps: nodes are heads and MLPs"):
        keep_nodes(model, contrast, [[Site("embed").at()]])
    with pytest.raises(LookupError, match=r"0.z\[head=9\]: not among the 15 nodes"):
        keep_nodes(model, contrast, [[head(0, 9)]])
    with pytest.raises(MemoryError, match="raise memory_budget"):
        keep_nodes(model, contrast, [[head(0, 1)]], memory_budget=1000)
    same = type(contrast).between(contrast.base, contrast.base)
    with pytest.raises(ValueError, match="no contrast to recover"):
        _ = keep_nodes(model, same, [[head(0, 1)]]).restored
