"""Activation patching: give a unit the value that it had in another run."""

from torch import Tensor

from ..hooks import Cache, Hook
from ..sites import Unit


def patch(unit: Unit, source: Cache) -> Hook:
    """Give `unit` the value it had when `source` was recorded.

    `source` holds the unit's whole site, for pairs aligned with those that will run: the same
    number, the same width, the same places. Where the unit names tokens ("query", "D_inj"),
    they are those of the pairs that run. A cache of another shape is a `ValueError` when the
    hook fires. Gradients reach the recorded run if it kept its graph.

    Vig et al. (2020); Lu et al. (2025), section 4.
    """
    value = source[unit]

    def swap(carried: Tensor) -> Tensor:
        if value.shape != carried.shape:
            raise ValueError(
                f"{unit} carries {tuple(carried.shape)}, but the cache holds "
                f"{tuple(value.shape)} for it: record the cache on pairs aligned with these "
                "(the same pairs in the same order, or the other side of one contrast), "
                "padded to the same width"
            )
        return value

    return Hook(unit, swap)
