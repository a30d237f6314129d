import pytest
import torch

from crosslens import (
    completeness,
    head,
    keep_edges,
    keep_nodes,
    minimality,
    nodes,
    patching,
    plant,
    Site,
)


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
    without = minimality(model, contrast, nodes(model), without=[{matching}])
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


def test_the_figures_are_differences_of_faithfulness(model, contrast):
    circuit = [head(0, 1), head(1, 2), Site("mlp_out", 1).at()]
    first, rest = frozenset(circuit[:1]), frozenset(circuit[1:])
    whole = frozenset(nodes(model))
    f = keep_nodes(model, contrast, [circuit, rest, whole, whole - first]).restored
    found = completeness(model, contrast, circuit, n_greedy=1, n_random=2)
    torch.testing.assert_close(found.gap[0], (f[0] - f[2]).abs())
    place = found.removed.index(first)
    torch.testing.assert_close(found.gap[place], (f[1] - f[3]).abs())
    assert found.chosen[0] == "nothing" and {"random", "greedy"} >= set(found.chosen[1:])
    frame, summary = found.frame(), found.summary()
    assert len(frame) == len(summary) * 2 == len(found.removed) * 2
    assert list(frame["gap"]) == pytest.approx(found.gap.flatten().tolist(), nan_ok=True)

    added = minimality(model, contrast, circuit, without=[()])
    torch.testing.assert_close(added.of(circuit[0]), f[0] - f[1])
    assert len(added.frame()) == 6 and len(added.summary()) == 3
    tried = minimality(model, contrast, circuit)
    larger = tried.adds.nanmean(dim=1).abs() - added.adds.nanmean(dim=1).abs()
    assert larger.min() > -1e-12 and larger.max() > 1e-3 and tried.members == added.members


def test_greedy_sets_are_at_least_as_far_apart_as_the_best_single_member(model, contrast):
    circuit = nodes(model)[4:8]
    found = completeness(model, contrast, circuit, n_random=0)
    size = found.gap.nanmean(dim=1)
    chain = [(len(k), float(size[i])) for i, k in enumerate(found.removed)]
    assert [sum(n == wanted for n, _ in chain) for wanted in range(5)] == [1, 4, 3, 2, 1]
    assert completeness(model, contrast, circuit, seed=1).removed != found.removed


def test_edges_have_both_measures_too(model, contrast):
    circuit = ["input->a0.h1<v>", "a0.h1->m1", "m1->logits", "a0.h1->logits"]
    found = minimality(model, contrast, circuit, keep=keep_edges, without=[[]])
    f = keep_edges(model, contrast, [circuit, circuit[1:]]).restored
    (first,) = (e for e in found.members if e.receiver == head(0, 1, "v"))
    torch.testing.assert_close(found.of(first), f[0] - f[1])
    assert list(found.summary()["member"])[0] == "a0.h1->m1"
    some = completeness(model, contrast, circuit, keep=keep_edges, n_random=2, n_greedy=1)
    assert "a0.h1->m1" in set(some.summary()["removed"])


def test_nothing_to_take_away_is_refused(model, contrast):
    with pytest.raises(ValueError, match="no part to take away"):
        completeness(model, contrast, [])
    with pytest.raises(ValueError, match="an empty circuit has no member"):
        minimality(model, contrast, [])
    with pytest.raises(ValueError, match="none is left to measure"):
        minimality(model, contrast, [head(0, 1)], without=[[head(0, 1)]])
    with pytest.raises(LookupError, match="none of the 1 members"):
        minimality(model, contrast, [head(0, 1)]).of(head(0, 2))
