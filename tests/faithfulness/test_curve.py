import random
from functools import partial

import pytest
import torch

from crosslens import ablate, head, patching, plant
from crosslens.faithfulness import (
    Curve,
    curve,
    Faithfulness,
    growing,
    keep_nodes,
    nodes_of,
    ranked,
    sizes,
)
from crosslens.faithfulness.growing import counts


def made(restored, n_members, n_all=10):
    """A faithfulness with these figures: circuit by pair."""
    units = [head(0, i) for i in range(n_all)]
    restored = torch.tensor(restored).double()
    n_pairs = restored.shape[1]
    circuits = tuple(frozenset(units[:n]) for n in n_members)
    empty = torch.arange(n_pairs).double()
    return Faithfulness("made", circuits, n_all, empty + 2 * restored, empty, empty + 2)


def test_the_areas_are_those_of_the_trapezoids():
    drawn = Curve(made([[0.0, 0.0], [0.5, 1.5], [1.0, 1.0]], (0, 2, 10)))
    torch.testing.assert_close(drawn.cpr, torch.tensor([0.05 + 0.6, 0.15 + 1.0]).double())
    torch.testing.assert_close(drawn.cmd, torch.tensor([0.15 + 0.2, 0.15 + 0.2]).double())
    assert drawn.size_for(0.8) == 2 and drawn.size_for(1.01) is None
    summary = drawn.summary()
    assert list(summary["measure"]) == ["CPR", "CMD"]
    assert summary["mean"].tolist() == pytest.approx([0.9, 0.35])
    assert summary["low"][0] == pytest.approx(0.65) and summary["high"][0] == pytest.approx(1.15)
    assert len(drawn.frame()) == 6


def test_sizes_that_do_not_grow_are_no_curve():
    for n_members in ((5, 2), (3, 3)):
        with pytest.raises(ValueError, match="growing size"):
            Curve(made([[0.0], [1.0]], n_members))
    for shares in ([0.5, 0.1], [-0.1, 1.0], [0.5, 1.5]):
        with pytest.raises(ValueError, match="grow from 0 up to 1"):
            counts(10, shares)
    assert counts(100, [0.0, 0.29, 1.0]) == [0, 29, 100]


def test_the_exact_ranking_of_a_planted_model_beats_random_ones(added_term):
    model, contrast = added_term(plant("bm25?seed=1&layers=4&heads=6&decoys=5"), 3)
    everything = nodes_of(model)
    effects = patching(model, contrast, everything)
    ranking = ranked(sizes(effects))
    best = curve(model, contrast, ranking)
    assert best.cpr.nanmean() > 0.9 and best.cmd.nanmean() < 0.1
    assert best.size_for(0.99) == 2  # a tenth of 28
    torch.testing.assert_close(best.cpr + best.cmd, torch.ones(len(contrast)), equal_nan=True)
    dice = random.Random(0)
    for _ in range(2):
        chance = curve(model, contrast, dice.sample(everything, len(everything)))
        assert chance.cpr.nanmean() < 0.7 and chance.cmd.nanmean() > 0.3


def test_a_ranking_holds_the_whole_graph_once(model, contrast):
    everything = nodes_of(model)
    with pytest.raises(ValueError, match="the ranking has 14 parts, the graph 15"):
        curve(model, contrast, everything[1:])
    with pytest.raises(ValueError, match="names 1 parts more than once"):
        curve(model, contrast, [*everything, everything[0]])
    heads = partial(keep_nodes, nodes=model.heads(), rest=ablate)
    only = curve(model, contrast, model.heads(), keep=heads, shares=(0.0, 0.5, 1.0))
    assert [len(circuit) for circuit in only.of.circuits] == [0, 6, 12]
    assert growing(model.heads(), (0.0, 0.5, 1.0)) == list(only.of.circuits)
    third = curve(model, contrast, model.heads(), keep=heads, shares=(0.0, 0.4, 1.0))
    assert third.frame()["share"].unique().tolist() == [0, 4 / 12, 1]


def test_what_is_largest_in_size_comes_first(model, contrast):
    effects = patching(model, contrast, model.heads())
    size = sizes(effects)
    first, *_, last = ranked(size)
    assert effects.of(first).mean().abs() == effects.mean.abs().max() == size[first]
    assert effects.of(last).mean().abs() == effects.mean.abs().min()
    assert ranked({head(0, 0): 1.0, head(0, 1): -2.0, head(0, 2): 1.0}) == [
        head(0, 1),
        head(0, 0),
        head(0, 2),
    ]
