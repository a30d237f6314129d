"""Patching a contrast: what each unit restores, against one plain forward pass per cell."""

import pytest
import torch

import crosslens.attribution.patching as module
from crosslens import CrossEncoder, each, patch, patching, Site
from crosslens.contrasts.contrast import Contrast, contrast, Minimal


MINIMAL = [
    Minimal("why do cats purr", "the engine of a car a", "the engine of a car cats", "cats"),
    Minimal("how long do dog sleep", "a dog bark when they rest a", "a dog bark when they rest dog", "dog"),
]  # fmt: skip
ROLES = ["[CLS]", "Q+", "D_inj", "D+"]


@pytest.fixture
def two(model: CrossEncoder) -> Contrast:
    return contrast(model, "TFC1", MINIMAL)


@pytest.fixture
def units(model: CrossEncoder) -> list:
    return each(model.sites("resid_pre"), "pos", ROLES) + model.heads()


def test_effects_equal_one_forward_pass_per_cell(model, two, units):
    effects = patching(model, two, units)
    with model.record("resid_pre", "z") as source:
        more = model(two.more)
    base = model(two.base)
    for unit in (units[1], units[6], units[-1], units[-6]):
        with model.hooked(patch(unit, source)):
            patched = model(two.base)
        expected = ((patched - base) / (more - base)).detach()
        torch.testing.assert_close(effects.of(unit), expected, atol=1e-4, rtol=1e-4)


def test_pairs_together_or_alone_give_the_same(model, two, units):
    alone, together = (patching(model, two, units, at_once=n) for n in (1, 2))
    torch.testing.assert_close(
        alone.recovered, together.recovered, equal_nan=True, atol=1e-4, rtol=1e-4
    )


def test_units_that_carry_the_same_on_both_sides_cost_nothing(model, two, units, monkeypatch):
    swept = []
    plain = module.sweep

    def counting(model, pairs, hooks, **options):
        swept.extend(hook.unit for hook in hooks)
        return plain(model, pairs, hooks, **options)

    monkeypatch.setattr(module, "sweep", counting)
    effects = patching(model, two, units)
    first = Site("resid_pre", 0)
    # embeddings differ at the injected term only, where patching them is the other side
    assert {unit for unit in swept if unit.site == first} == {first.at(pos="D_inj")}
    assert (effects.of(first.at(pos="Q+")) == 0).all()
    torch.testing.assert_close(effects.of(first.at(pos="D_inj")), torch.ones(2))


def test_a_role_that_a_pair_lacks_has_no_effect_to_report(model, two, units):
    effects = patching(model, two, units).of(Site("resid_pre", 1).at(pos="D+"))
    assert effects.isnan().tolist() == [True, False]


def test_progress_ends_at_the_number_of_cells(model, two, units):
    seen = []
    patching(model, two, units, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (2 * len(units),) * 2
    assert seen == sorted(seen)
