"""An edit of a site against the slope there."""

from collections.abc import Mapping

import torch
from torch import Tensor

from crosslens import CrossEncoder, Hook, Pairs, Site, Unit


def assert_edits_follow(
    model: CrossEncoder, pairs: Pairs, slopes: Mapping[Site, Tensor], *, least: float
) -> None:
    """A small step at every site moves every score by `least`, and their sum along the slope."""
    noise = torch.Generator().manual_seed(1)

    @torch.no_grad()
    def moved(site: Site, step: Tensor) -> Tensor:
        with model.hooked(Hook(Unit(site), lambda x: x + step)):
            return model(pairs)

    for site, slope in slopes.items():
        step = torch.randn(slope.shape, generator=noise, dtype=slope.dtype)
        step *= 1e-5 / step.norm()
        differences = (moved(site, step) - moved(site, -step)) / 2
        assert differences.abs().min() > least, f"{site}: the edit did not act on every pair"
        torch.testing.assert_close(
            differences.sum(), (slope * step).sum(), rtol=1e-4, atol=1e-13, msg=str(site)
        )
