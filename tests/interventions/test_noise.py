"""The bottleneck: open it is not there, shut it knows nothing."""

from contextlib import nullcontext

import pytest
import torch

from crosslens import head, Site, Unit
from crosslens.interventions.noise import noise


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_an_open_bottleneck_changes_nothing(any_model, any_sides, under) -> None:
    base, _ = any_sides
    for unit in (Unit(Site("resid_pre", 1)), head(1, 2), Unit(Site("pooled"))):
        opened = under(any_model, base, noise(unit, 1.0, std=3.0, generator=seeded()))
        torch.testing.assert_close(opened, under(any_model, base))


def test_a_shut_bottleneck_tells_pairs_not_apart(any_model, any_sides, under) -> None:
    base, more = any_sides
    unit = Unit(Site("resid_pre", 1))
    scores = [
        under(any_model, pairs, noise(unit, 0.0, mean=0.3, std=2.0, generator=seeded()))
        for pairs in (base, more)
    ]
    torch.testing.assert_close(*scores)
    ajar = [
        under(any_model, pairs, noise(unit, 0.5, mean=0.3, std=2.0, generator=seeded()))
        for pairs in (base, more)
    ]
    assert ((ajar[0] - ajar[1]).abs() > 1e-6).all()


def test_what_passes_is_the_share_kept_and_the_rest_has_the_mean_and_spread_asked(
    model, two_sides
) -> None:
    base, _ = two_sides
    many = model.pairs(base.query * 200, base.document * 200)
    unit, d = head(1, 2), model.cfg.d_head
    keep = torch.linspace(0, 1, d, dtype=torch.float64)
    mean, std = torch.arange(d, dtype=torch.float64), torch.arange(d, dtype=torch.float64) / 4
    hook = noise(unit, keep, mean=mean, std=std, generator=seeded())
    with (
        torch.no_grad(),
        model.record("z") as before,
        model.hooked(hook),
        model.record("z") as after,
    ):
        model(many)
    injected = (after[unit] - keep * before[unit])[many.attended]
    torch.testing.assert_close(injected.mean(dim=0), (1 - keep) * mean, atol=0.03, rtol=0)
    torch.testing.assert_close(injected.std(dim=0), (1 - keep) * std, atol=0.03, rtol=0)


def test_a_hook_is_frozen_and_its_generator_draws_on(model, two_sides, under) -> None:
    base, _ = two_sides
    unit, generator = Unit(Site("resid_pre", 1)), seeded()
    hook, next_hook = (noise(unit, 0.5, generator=generator) for _ in range(2))
    first, second = under(model, base, hook), under(model, base, next_hook)
    assert (first != second).all()
    assert (first == under(model, base, hook)).all()
    assert (first == under(model, base, noise(unit, 0.5, generator=seeded()))).all()
    alike = model.pairs(base.query[:1] * 3, base.document[:1] * 3)
    shut = noise(unit, 0.0, generator=seeded())
    with torch.no_grad(), model.hooked(shut), model.record("resid_pre") as cache:
        model(alike)
    one, other, third = cache[unit]
    assert (one != other).all() and (one != third).all() and (other != third).all()


@pytest.mark.parametrize("name", ["resid_pre", "z", "pattern", "pooled"])
def test_a_pair_has_its_noise_in_whatever_batch_it_runs(name, any_model, any_sides) -> None:
    base, _ = any_sides
    many = any_model.pairs(base.query * 3, base.document * 3)
    site = any_model.sites(name)[-1]
    hook = noise(site.at(), 0.0, generator=seeded())

    def held(pairs):
        with torch.no_grad(), any_model.hooked(hook), any_model.record(site) as cache:
            any_model(pairs)
        return cache[site]

    whole = held(many)
    assert (held(many.repeat(2))[len(many) :] == whole).all(), "cells of a sweep share their noise"
    for rows in ([4, 1], [5], [2, 0, 3]):
        some = many.take(rows)
        for part, row, n in zip(held(some), rows, some.lengths.tolist(), strict=True):
            at = [slice(n if axis in ("pos", "dst", "src") else None) for axis in site.axes[1:]]
            assert (part[tuple(at)] == whole[row][tuple(at)]).all()


def test_the_scored_row_has_its_noise_where_no_other_row_is_computed(any_model, any_sides) -> None:
    base, _ = any_sides
    site = any_model.sites("attn_out")[-1]
    hook = noise(site.at(), 0.0, generator=seeded())
    found = []
    for is_alone in (False, True):
        narrow = any_model.scored_row_only() if is_alone else nullcontext()
        with torch.no_grad(), narrow, any_model.hooked(hook), any_model.record(site) as cache:
            any_model(base)
        found.append(cache[site])
    whole, alone = found
    if any_model.reads_scored_row:
        assert alone.shape[1] == 1 < whole.shape[1]
        assert (alone[:, 0] == whole[range(len(base)), base.scored]).all()
    assert (whole[~base.attended] == 0).all(), "there is no noise at padding"


def test_only_named_tokens_pass_the_bottleneck(model, two_sides, record) -> None:
    base, _ = two_sides
    unit = Site("resid_pre", 1).at(pos="query")
    with torch.no_grad(), model.hooked(noise(unit, 0.0, generator=seeded())):
        after = record(model, base, "resid_pre")[unit]
    changed = (after != record(model, base, "resid_pre")[unit]).any(dim=-1)
    assert (changed == base.where("query")).all()


def test_the_gradient_of_keep_is_the_difference_of_signal_and_noise(any_model, any_sides) -> None:
    base, _ = any_sides
    width, d = base.token.shape[1], any_model.cfg.d_model
    keep = torch.full((len(base), width, d), 0.7, dtype=torch.float64, requires_grad=True)
    unit = Unit(Site("resid_pre", 1))

    def score(given: torch.Tensor) -> torch.Tensor:
        with any_model.hooked(noise(unit, given, std=0.5, generator=seeded())):
            return any_model(base).sum()

    score(keep).backward()
    step = torch.randn(keep.shape, generator=seeded(1), dtype=torch.float64)
    h = 1e-6
    with torch.no_grad():
        slope = (score(keep + h * step) - score(keep - h * step)) / (2 * h)
    torch.testing.assert_close((keep.grad * step).sum(), slope, rtol=1e-5, atol=1e-7)
    assert keep.grad.abs().sum() > 0


def test_what_is_no_share_or_spread_is_refused(model, two_sides) -> None:
    base, _ = two_sides
    unit = head(1, 2)
    with pytest.raises(ValueError, match="between 0"):
        noise(unit, torch.tensor([0.5, 1.5]), generator=seeded())
    with pytest.raises(ValueError, match="between 0"):
        noise(unit, float("nan"), generator=seeded())
    with pytest.raises(ValueError, match="negative"):
        noise(unit, 0.5, std=-1.0, generator=seeded())
    with (
        model.hooked(noise(unit, 0.5, mean=torch.zeros(5), generator=seeded())),
        pytest.raises(ValueError, match=r"shape \(5,\) does not fit"),
    ):
        model(base)
