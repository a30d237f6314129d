import pytest
import torch
from tiny import FAMILIES, tiny

from crosslens import each, Hook, load, Site, sweep


def one_by_one(model, pairs, cells):
    """The naive sweep: one full hooked forward pass per cell."""
    scores = []
    for cell in cells:
        with torch.no_grad(), model.hooked(*cell):
            scores.append(model(pairs))
    return torch.stack(scores)


def shift(unit):
    """An edit that depends on what it sees, so that no slab can be mistaken for another."""
    return Hook(unit, lambda x: x.flip(0) * 0.5 + 0.3)


def cells_of(model):
    """Cells of every kind: each site at each layer, whole, by head, by token, and in pairs."""
    streams = [s for s in model.sites() if "d_model" in s.axes and "pos" in s.axes]
    units = [site.at() for site in model.sites() if site.name != "result"]
    units += each(streams, "pos", ["cls", "query", "document", 3])
    units += [unit for site in ("z", "q", "v", "pattern") for unit in model.heads(site)]
    units += [Site("pattern", 1).at(dst="query", src="document"), Site("result", 1).at(head=2)]
    singles = [[shift(unit)] for unit in units]
    ends = [[shift(Site("z", 0).at(head=1)), shift(Site("z", 2).at(head=3))]]
    return singles + ends + [[shift(Site("mlp_post", 1).at(neuron=5)), shift(Site("k", 1).at())]]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sweep_is_one_full_forward_pass_per_cell_only_faster(family):
    model = load(*tiny(family)).double()
    pairs = model.pair("why do cats purr", "cats purr when they rest", "the dog , a snake")
    cells = cells_of(model)
    naive = one_by_one(model, pairs, cells)
    assert naive.std(dim=0).min() > 1e-3  # the cells differ, so agreement means something
    assert torch.allclose(sweep(model, pairs, cells), naive, atol=1e-10, rtol=0)


def test_scores_come_back_in_the_order_of_the_cells(model, pairs):
    hooks = [Hook(unit, lambda z: z * 0) for unit in reversed(model.heads())]
    assert torch.allclose(sweep(model, pairs, hooks), sweep(model, pairs, hooks[::-1]).flip(0))


def test_progress_counts_every_cell_once(model, pairs):
    seen = []
    hooks = [Hook(unit, lambda z: z * 0) for unit in model.heads()]
    sweep(model, pairs, hooks, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (12, 12) and seen == sorted(seen)


def test_a_budget_splits_the_work_and_changes_nothing(model, pairs):
    hooks = [Hook(unit, lambda z: z * 0) for unit in model.heads()]
    roomy, tight = sweep(model, pairs, hooks), sweep(model, pairs, hooks, memory_budget=300_000)
    assert torch.allclose(roomy, tight, atol=1e-6)
    with pytest.raises(MemoryError, match="take fewer pairs at once"):
        sweep(model, pairs, hooks, memory_budget=1_000)


def test_an_empty_cell_is_refused(model, pairs):
    with pytest.raises(ValueError, match="cell 1 has no hook"):
        sweep(model, pairs, [Hook(model.heads()[0], lambda z: z), []])


def test_a_sweep_leaves_no_trace(model, pairs):
    before = model(pairs)
    with pytest.raises(ZeroDivisionError):
        sweep(model, pairs, [Hook(model.heads()[0], lambda z: z / (1 // 0))])
    assert torch.equal(model(pairs), before)
