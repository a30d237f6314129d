"""Recovery: how much of a contrast a patch restores, pair by pair.

m = (patched - base) / (target - base): 0 where the patch does nothing, 1 where it restores
the whole difference; it can be negative or exceed 1 (Lu et al., 2025, section 3).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ...not_measurable import NotMeasurable


def recovery(
    patched: Float[Tensor, "... pair"],
    base: Float[Tensor, " pair"],
    target: Float[Tensor, " pair"],
    *,
    least: float = 1e-3,
) -> Float[Tensor, "... pair"]:
    """How much of the way from `base` to `target` the patch goes: 0 none, 1 all.

    Pairs whose two scores differ by less than `least` have nothing to recover: they are nan,
    to be counted and left out of means. If none has a contrast, that is an error.

    Raises:
        NotMeasurable: no pair has a contrast.
    """
    way = target - base
    flat = way.abs() < least
    if flat.all():
        raise NotMeasurable(
            f"no contrast to recover: base and target score alike (within {least:g}) in all "
            f"{len(base)} pairs"
        )
    return (patched - base) / torch.where(flat, torch.nan, way)


def recovered_share(
    change: Float[Tensor, "... pair"],
    base: Float[Tensor, " pair"],
    target: Float[Tensor, " pair"],
    *,
    least: float | None = None,
) -> tuple[Float[Tensor, "... pair"], tuple[bool, ...]]:
    """The share of the way from `base` to `target` that a change is; and which pairs have none.

    `least` is the smallest difference of a pair's two scores that has a share to speak of, by
    default the `smallest_contrast`.

    Raises:
        NotMeasurable: no pair has a contrast.
    """
    least = smallest_contrast(base, target) if least is None else least
    none, way = torch.zeros_like(base), target - base
    is_flat = recovery(none, none, way, least=least).isnan()
    return recovery(change, none, way, least=least), tuple(is_flat.tolist())


def smallest_contrast(base: Float[Tensor, " pair"], target: Float[Tensor, " pair"]) -> float:
    """A fifth of the root mean square of the pairs' contrasts, or 0.001 if that is less.

    A share of almost nothing is any number: below this a pair says little of where the
    contrast comes from, and would outweigh the others in a mean.
    """
    return max(0.2 * float((target - base).square().mean().sqrt()), 1e-3)
