"""The bottleneck: open it is not there, shut it knows nothing."""

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
    many = base.repeat(200)
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
    injected = (after[unit] - keep * before[unit]).flatten(0, 1)
    torch.testing.assert_close(injected.mean(dim=0), (1 - keep) * mean, atol=0.03, rtol=0)
    torch.testing.assert_close(injected.std(dim=0), (1 - keep) * std, atol=0.03, rtol=0)


def test_every_run_draws_anew_and_a_seed_repeats_them(model, two_sides, under) -> None:
    base, _ = two_sides
    unit = Unit(Site("resid_pre", 1))
    hook, again = noise(unit, 0.5, generator=seeded()), noise(unit, 0.5, generator=seeded())
    first, second = under(model, base, hook), under(model, base, hook)
    assert (first != second).all()
    assert (first == under(model, base, again)).all()
    assert (second == under(model, base, again)).all()


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
