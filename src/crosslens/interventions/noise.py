"""An information bottleneck: part of a unit passes, Gaussian noise takes the rest."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..hooks import Hook
from ..pairs import Pairs
from ..sites import Unit
from .draws import seed_from, standard_normal
from .fit import fit


def noise(
    unit: Unit,
    keep: Float[Tensor, "..."] | float,
    *,
    mean: Float[Tensor, "..."] | float = 0.0,
    std: Float[Tensor, "..."] | float = 1.0,
    generator: torch.Generator,
) -> Hook:
    """T = λ x + (1 - λ) ε with ε ~ N(mean, std²): `keep` = λ of the unit passes.

    All three have the last axes of what the unit carries, in its own scale, and are repeated
    over the others. λ lies between 0 and 1, and gradients reach it.

    The draw is made from `generator` once: the hook is a frozen value, and gives the same pairs
    (`Pairs.numbers`) the same noise in every run, in whatever batches and on whatever device. A
    second hook from the same generator gives other noise.

    Schulz et al. (2020); Jiang et al. (2021), section 3.

    Raises:
        ValueError: `keep` is outside 0 to 1, or `std` is negative or nan.
    """
    if not _within(keep, 0.0, 1.0):
        raise ValueError("keep is a share: it must lie between 0 (all noise) and 1 (no noise)")
    if not _within(std, 0.0, torch.inf):
        raise ValueError("std is a standard deviation: it cannot be negative or undefined")

    seed = seed_from(generator)

    def squeeze(carried: Tensor, pairs: Pairs) -> Tensor:
        share = fit(keep, carried, unit)
        drawn = standard_normal(seed, unit.left, carried, pairs)
        epsilon = fit(mean, carried, unit) + fit(std, carried, unit) * drawn
        return share * carried + (1 - share) * epsilon

    return Hook(unit, squeeze, sees_pairs=True)


def _within(value: Tensor | float, low: float, high: float) -> bool:
    value = torch.as_tensor(value).detach()
    return bool(((value >= low) & (value <= high)).all())
