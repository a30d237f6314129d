"""Path patching over the pairs of several contrasts, with an early end for those that tell nothing.

A chain asks dozens of senders for every one it finds. So all are asked in the first pairs of
each contrast, and those whose effect is surely below what would be chosen are given up: the
pairs that are left are spent on the others. Of a sender given up the other pairs are nan, as
pairs that were skipped are.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import stats
from torch import Tensor

from ...contrasts.contrast import Contrast
from ...hooks import Hooked
from ...sites import Unit
from ..patching.effects import Effects
from ..patching.recovery import recovery, smallest_contrast
from .path_patching import changes
from .path_plan import Group, Paths


SURE: Final = 0.99  # that an effect is below what counts, before it is given up


@torch.no_grad()
def pooled(
    model: Hooked,
    contrasts: Sequence[Contrast],
    senders: Sequence[Unit],
    groups: Sequence[Group],
    held: Sequence[str],
    *,
    floor: float,
    first: int | None,
    least: float | None,
    at_once: int,
    memory_budget: int | None,
) -> list[Effects]:
    """What senders restore by way of each group, the pairs of all contrasts side by side.

    A sender that in the `first` pairs of every contrast tells each group less than `floor`, with
    99 % confidence, is followed no further; `first=None` follows all.
    """

    def changes_of(some: Contrast, which: Sequence[Unit]) -> tuple[Tensor, Tensor, Tensor]:
        paths = Paths.of(model, some.base, which, groups, held)
        return changes(paths, some, at_once, memory_budget)

    cuts = [len(each) if first is None else min(first, len(each)) for each in contrasts]
    begun = [
        changes_of(each.take(range(cut)), senders)
        for each, cut in zip(contrasts, cuts, strict=True)
    ]
    seen = torch.cat([shares(*each, least) for each in begun], dim=2)
    alive = [
        sender for sender, is_alive in zip(senders, hopeful(seen, floor), strict=True) if is_alive
    ]
    found: list[list[Effects]] = []
    for contrast, cut, (change, base, target) in zip(contrasts, cuts, begun, strict=True):
        if cut < len(contrast):
            rest = contrast.take(range(cut, len(contrast)))
            later, *scores = changes_of(rest, alive)
            padded = later.new_full((len(senders), *later.shape[1:]), torch.nan)
            padded[[senders.index(sender) for sender in alive]] = later
            change = torch.cat([change, padded], dim=2)
            base, target = torch.cat([base, scores[0]]), torch.cat([target, scores[1]])
        found.append(
            [
                Effects.of_change(contrast, senders, change[:, i], base, target, least=least)
                for i in range(len(groups))
            ]
        )
    return [joined(parts) for parts in zip(*found, strict=True)]


def shares(
    change: Float[Tensor, "sender group pair"],
    base: Float[Tensor, " pair"],
    target: Float[Tensor, " pair"],
    least: float | None,
) -> Float[Tensor, "sender group pair"]:
    """The share of each pair's contrast; all nan where no pair has one."""
    least = smallest_contrast(base, target) if least is None else least
    if ((target - base).abs() < least).all():
        return torch.full_like(change, torch.nan)
    return recovery(change, torch.zeros_like(base), target - base, least=least)


def hopeful(seen: Float[Tensor, "sender group pair"], floor: float) -> Bool[np.ndarray, " sender"]:
    """Which senders may tell some group `floor` or more, for all that was seen of them."""
    values = seen.double().numpy(force=True)
    n = (~np.isnan(values)).sum(axis=2)
    total = np.nansum(values, axis=2)
    mean = total / np.maximum(n, 1)
    spread = np.nansum((values - mean[..., None]) ** 2, axis=2) / np.maximum(n - 1, 1)
    reach = stats.t.ppf(SURE, np.maximum(n - 1, 1)) * np.sqrt(spread / np.maximum(n, 1))
    return ((np.abs(mean) + reach >= floor) | (n < 3)).any(axis=1)


def joined(parts: Sequence[Effects]) -> Effects:
    """The effects of the same units in the pairs of several contrasts."""
    return Effects(
        "+".join(dict.fromkeys(part.signal for part in parts)),
        parts[0].units,
        torch.cat([part.recovered for part in parts], dim=1),
        torch.cat([part.base for part in parts]),
        torch.cat([part.target for part in parts]),
        tuple(flat for part in parts for flat in part.is_flat),
    )
