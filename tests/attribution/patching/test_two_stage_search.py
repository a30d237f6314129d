from dataclasses import replace
from functools import partial

import pytest
import torch

from crosslens import (
    attribution_patching,
    Axioms,
    collection,
    load,
    patching,
    plant,
    search,
    units_at,
)
from crosslens.engine.contrast_runs import ContrastRuns


@pytest.mark.parametrize("seed", range(5))
def test_a_fifth_of_the_units_finds_all_that_is_planted(seed):
    planted = plant(f"bm25?seed={seed}&decoys=5&layers={4 + seed % 3}")
    model = load(planted)
    contrast = Axioms(model, collection("embedded")).tfc1(3)
    units = model.heads()
    found, whole = search(model, contrast, units), patching(model, contrast, units)
    free = {unit for unit in units if unit.site.layer == model.cfg.n_layers - 1}
    assert len({*found.units} - free) <= len(units) / 5 and free <= {*found.units}
    assert planted.circuit.roles["matching"] | planted.circuit.roles["relevance scoring"] <= {
        unit for unit in found.units if found.of(unit).mean() > 0.99
    }
    for unit in found.units:
        torch.testing.assert_close(found.of(unit), whole.of(unit), rtol=1e-4, atol=1e-4)


def test_queries_and_keys_are_found_with_an_exact_softmax():
    planted = plant("bm25?seed=2&decoys=5")
    model = load(planted)
    contrast = Axioms(model, collection("embedded")).tfc1(2)
    by = partial(attribution_patching, exact_softmax=True)
    units = [unit for site in "qkv" for unit in model.heads(site)]
    found = search(model, contrast, units, screen=0.1, by=by)
    acting = {str(unit) for unit in found.units if found.of(unit).mean() > 0.99}
    (matching, scoring) = planted.placement.matching, planted.placement.scoring
    assert acting == {
        f"{matching[0]}.k[head={matching[1]}]",
        f"{scoring[0]}.v[head={scoring[1]}]",
    }


def test_a_backup_without_a_slope_of_its_own_is_found_on_the_way():
    planted = plant("bm25?seed=7&decoys=5&layers=5&backup")
    model = load(planted)
    contrast = Axioms(model, collection("embedded")).tfc1(3)
    units = model.heads()
    heads = planted.circuit.units & set(units)
    assert len(heads) == 3 and patching(model, contrast, [*heads]).mean.min() > 0.99
    (backup,) = planted.circuit.roles["backup matching"]
    assert attribution_patching(model, contrast, [backup]).mean.abs() < 0.02  # though it is 1
    by = partial(attribution_patching, steps=5)
    assert heads <= set(search(model, contrast, units, by=by).units)


def test_a_screen_that_knows_nothing_finds_nothing():
    planted = plant("bm25?seed=0&decoys=5")
    model = load(planted)
    contrast = Axioms(model, collection("embedded")).tfc1(2)

    def backwards(model, contrast, units):
        found = attribution_patching(model, contrast, units)
        return replace(found, recovered=1 - found.recovered)

    found = search(model, contrast, model.heads(), by=backwards)
    late = [unit.site.layer == model.cfg.n_layers - 1 for unit in found.units]  # taken anyhow
    early = [unit for unit, is_late in zip(found.units, late, strict=True) if not is_late]
    assert early and not planted.circuit.units & set(early)
    assert found.mean[~torch.tensor(late)].abs().max() < 0.01


def counted(model, monkeypatch) -> dict[str, int]:
    """How many rows every block has read since."""
    rows = {"blocks": 0}
    for block in model.blocks[:-1]:
        halves = block.think

        def think(mid, *written, halves=halves):
            rows["blocks"] += len(mid)
            return halves(mid, *written)

        monkeypatch.setattr(block, "think", think)
    return rows


def test_both_stages_work_from_one_set_of_runs(apart, monkeypatch):
    model, contrast = apart
    rows, units = counted(model, monkeypatch), model.heads()
    whole = patching(model, contrast, units)
    exact, rows["blocks"] = rows["blocks"], 0
    found = search(model, contrast, units, keep=1, screen=0.1)
    footprints = 4  # a row of the first block each: search, patching, a sweep of either bundle
    sides = 2 * len(contrast) * 2  # both sides, in the two blocks that are not the last
    behind = 2 - (found.units[0].site.layer or 0)
    assert rows["blocks"] <= sides + footprints + behind * len(contrast) < exact
    for unit in found.units:
        torch.testing.assert_close(found.of(unit), whole.of(unit))


def test_a_screen_of_ones_own_needs_to_know_of_nothing(apart):
    model, contrast = apart
    units = model.heads()

    def blind(model, contrast, units):
        return attribution_patching(model, contrast, units)

    theirs, ours = (search(model, contrast, units, by=by) for by in (blind, attribution_patching))
    assert theirs.units == ours.units
    torch.testing.assert_close(theirs.recovered, ours.recovered)


def test_what_was_not_kept_is_run_again(apart):
    model, contrast = apart
    units = [*model.heads(), *units_at(model.sites("resid_pre"), "pos", ["query", 3])]
    roomy = patching(model, contrast, units)
    forgetful = ContrastRuns(model, contrast, units, at_once=1, budget=0)
    again = patching(model, contrast, units, runs=forgetful)
    assert forgetful.kept_bytes == 0
    torch.testing.assert_close(again.recovered, roomy.recovered)


def test_more_units_are_patched_as_long_as_they_fit_the_time(apart):
    model, contrast = apart
    units, free = model.heads(), model.cfg.n_heads  # those of the last block
    few, many = (len(search(model, contrast, units, keep=1, screen=s).units) for s in (0.1, 0.9))
    assert few <= 1 + free < many < len(units)
    assert len(search(model, contrast, units, keep=len(units), screen=1.0).units) == len(units)


def test_a_share_of_nothing_is_refused(apart):
    model, contrast = apart
    with pytest.raises(ValueError, match="screen=0.0"):
        search(model, contrast, model.heads(), screen=0.0)
    with pytest.raises(ValueError, match="keep=0"):
        search(model, contrast, model.heads(), keep=0)
    with pytest.raises(ValueError, match="no unit to search"):
        search(model, contrast, [])
    with pytest.raises(MemoryError, match="the search in one pair needs about"):
        search(model, contrast, model.heads(), memory_budget=1000)
    early = model.heads()[:4]
    assert len(search(model, contrast, early, screen=0.01).units) == 1
