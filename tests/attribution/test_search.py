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
)


@pytest.mark.parametrize("seed", range(5))
def test_a_fifth_of_the_exact_sweep_finds_all_that_is_planted(seed):
    planted = plant(f"bm25?seed={seed}&decoys=5&layers={4 + seed % 3}")
    model = load(planted)
    contrast = Axioms(model, collection("embedded")).tfc1(3)
    units = model.heads()
    found, whole = search(model, contrast, units), patching(model, contrast, units)
    assert len(found.units) <= len(units) / 5
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
    assert not planted.circuit.units & set(found.units) and found.mean.abs().max() < 0.01


def test_a_share_of_nothing_is_refused(apart):
    model, contrast = apart
    with pytest.raises(ValueError, match="screen=0.0"):
        search(model, contrast, model.heads(), screen=0.0)
    with pytest.raises(ValueError, match="no unit to search"):
        search(model, contrast, [])
    assert len(search(model, contrast, model.heads(), screen=0.01).units) == 1
