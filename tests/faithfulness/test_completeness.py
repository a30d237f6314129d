import random

import pytest
import torch

from crosslens import head, patching, plant, Site
from crosslens.faithfulness import completeness, Faithfulness, keep_edges, minimality, nodes_of


@pytest.fixture
def with_backup(added_term):
    """A planted model with a second matching head that speaks where the first is silent."""
    planted = plant("bm25?backup&layers=4&heads=3&decoys=2&seed=1")
    return planted, *added_term(planted, 3)


def members(planted):
    roles = planted.circuit.roles
    names = ("matching", "backup matching", "backup switch", "relevance scoring")
    found = [next(iter(roles[name])) for name in names]
    found[2] = Site("mlp_out", found[2].site.layer).at()  # the switch is a neuron of it
    return found


def test_completeness_finds_a_backup_that_ablation_of_single_heads_does_not(with_backup):
    planted, model, contrast = with_backup
    matching, backup, switch, scoring = members(planted)
    lost = patching(model, contrast.reversed, model.heads())
    assert lost.of(matching).abs().max() < 0.05 and lost.of(backup).abs().max() < 0.05

    # faithful without the backup, but not complete: without the first, the model goes on
    short = completeness(model, contrast, [matching, scoring], n_greedy=1)
    assert short.gap[0].nan_to_num().max() < 1e-3
    assert short.worst == {matching} and short.gap.nanmean(dim=1).max() > 0.99
    whole = completeness(model, contrast, planted.circuit, n_random=4, n_greedy=1)
    assert whole.gap.nan_to_num().max() < 1e-3

    # and the backup is what matters since the first is gone
    without = minimality(model, contrast, nodes_of(model), without=[{matching}])
    found = {unit for unit in without.members if without.of(unit).nanmean() > 0.5}
    assert found == {backup, switch, scoring}


def test_true_members_are_needed_and_decoys_are_not(with_backup):
    planted, model, contrast = with_backup
    true, decoys = members(planted), [head(*place) for place in planted.placement.decoy_heads]
    found = minimality(model, contrast, [*true, *decoys])
    for unit in true:
        assert found.of(unit).nanmean() > 0.9, unit
    for unit in decoys:
        assert found.of(unit).nan_to_num().abs().max() < 1e-3, unit
    # the backup adds nothing while the first speaks: K takes that one away
    alone = minimality(model, contrast, [*true, *decoys], without=[[]])
    matching, backup, *_ = true
    assert alone.of(backup).nan_to_num().abs().max() < 0.05
    assert found.without[found.members.index(backup)] == {matching}


def at_random(model, contrast, circuits):
    """A model whose every circuit restores what a die says: fast, and without any order."""
    listed = [frozenset(circuit) for circuit in circuits]
    dice = [random.Random(" ".join(sorted(map(str, circuit)))) for circuit in listed]
    kept = torch.tensor([[die.random() for _ in contrast.terms] for die in dice]).double()
    nothing = torch.zeros(len(contrast)).double()
    return Faithfulness("drawn", tuple(listed), 15, kept, nothing, nothing + 1)


def test_the_figures_are_differences_of_faithfulness(model, contrast):
    circuit = frozenset(nodes_of(model)[3:7])
    whole, first = frozenset(nodes_of(model)), frozenset(nodes_of(model)[3:4])
    f = at_random(model, contrast, [circuit, circuit - first, whole, whole - first]).restored
    found = completeness(model, contrast, circuit, keep=at_random, n_greedy=1, n_random=2)
    torch.testing.assert_close(found.gap[0], (f[0] - f[2]).abs())
    torch.testing.assert_close(found.gap[found.removed.index(first)], (f[1] - f[3]).abs())
    assert found.chosen[0] == "nothing" and set(found.chosen[1:]) == {"random", "greedy"}
    assert len(found.frame()) == 2 * len(found.summary()) == 2 * len(found.removed)
    assert found.frame()["gap"].tolist() == found.gap.flatten().tolist()

    alone = minimality(model, contrast, circuit, keep=at_random, without=[()])
    torch.testing.assert_close(alone.of(*first), f[0] - f[1])
    assert len(alone.frame()) == 2 * len(alone.summary()) == 8
    most = minimality(model, contrast, circuit, keep=at_random)
    for place, (member, k) in enumerate(zip(most.members, most.without, strict=True)):
        f = at_random(model, contrast, [circuit - k, circuit - k - {member}]).restored
        torch.testing.assert_close(most.adds[place], f[0] - f[1])
    larger = most.adds.mean(dim=1).abs() - alone.adds.mean(dim=1).abs()
    assert larger.min() > -1e-12 and larger.max() > 1e-5


def test_the_greedy_search_takes_away_what_parts_the_two_most(model, contrast):
    circuit = nodes_of(model)[4:8]
    found = completeness(model, contrast, circuit, keep=at_random, n_random=0)
    gap = dict(zip(found.removed, found.gap.mean(dim=1).tolist(), strict=True))
    gone = frozenset()
    for n in range(4, 0, -1):
        larger = [k for k in gap if len(k) == len(gone) + 1]
        assert len(larger) == n and all(gone < k for k in larger)
        gone = max(larger, key=gap.__getitem__)
    other = completeness(model, contrast, circuit, keep=at_random, seed=1)
    assert other.removed != completeness(model, contrast, circuit, keep=at_random).removed


def test_edges_have_both_measures_too(model, contrast):
    circuit = ["input->a0.h1<v>", "a0.h1->logits"]
    found = minimality(model, contrast, circuit, keep=keep_edges, without=[[]])
    f = keep_edges(model, contrast, [circuit, circuit[1:]]).restored
    (first,) = (e for e in found.members if e.receiver == head(0, 1, "v"))
    torch.testing.assert_close(found.of(first), f[0] - f[1])
    assert list(found.summary()["member"]) == ["input->a0.h1<v>", "a0.h1->logits"]
    some = completeness(model, contrast, circuit, keep=keep_edges, n_random=1, n_greedy=0)
    assert some.model[0].nan_to_num(nan=1).tolist() == pytest.approx([1, 1])


def test_nothing_to_take_away_is_refused(model, contrast):
    with pytest.raises(ValueError, match="no part to take away"):
        completeness(model, contrast, [])
    with pytest.raises(ValueError, match="an empty circuit has no member"):
        minimality(model, contrast, [])
    with pytest.raises(ValueError, match="none is left to measure"):
        minimality(model, contrast, [head(0, 1)], without=[[head(0, 1)]])
    with pytest.raises(LookupError, match="none of the 1 members"):
        minimality(model, contrast, [head(0, 1)]).of(head(0, 2))
