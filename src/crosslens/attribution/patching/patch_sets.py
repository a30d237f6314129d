"""Several units patched at once, beside as many others by chance.

One head of several that do the same restores little alone, and what two restore together is
not the sum of each: whether a set carries a signal shows when all of it is patched at once.
A set that looks right and writes nothing restores nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...batching.batches import by_length
from ...contrasts.contrast import Contrast
from ...engine.sweep import sweep
from ...hooks import Hooked
from ...interventions.patch import patch
from ...not_measurable import NotMeasurable
from ...sites import Unit
from .recovery import recovery, smallest_contrast


@dataclass(frozen=True, eq=False)
class SetEffects:
    """The share of a contrast that a set restores, and what sets of others of its size do.

    Nan where a pair has no contrast to recover.
    """

    members: tuple[Unit, ...]
    recovered: Float[np.ndarray, " pair"]
    others: tuple[tuple[Unit, ...], ...]
    by_chance: Float[np.ndarray, "set pair"]

    @property
    def rank(self) -> float:
        """The share of sets by chance that restore less on average."""
        return float(np.mean(np.nanmean(self.by_chance, axis=1) < np.nanmean(self.recovered)))


@torch.no_grad()
def patch_together(
    model: Hooked,
    contrast: Contrast,
    members: Collection[Unit],
    *,
    among: Sequence[Unit] | None = None,
    draws: int = 20,
    seed: int = 0,
    least: float | None = None,
    at_once: int = 16,
    memory_budget: int | None = None,
) -> SetEffects:
    """Patch all of `members` at once, and `draws` sets of as many units of `among` that are none.

    `among` is all heads by default. Units and sites are as in `patching`, and `at_once` too.

    Raises:
        NotMeasurable: no member, or too few others.
    """
    every = model.heads() if among is None else among
    chosen = tuple(unit for unit in every if unit in members)
    chosen += tuple(unit for unit in members if unit not in chosen)
    rest = [unit for unit in every if unit not in members]
    if not chosen or len(rest) < len(chosen):
        raise NotMeasurable(
            f"{len(chosen)} members beside {len(rest)} others: a set by chance needs one other "
            "for each member, and there must be a member"
        )
    generator = np.random.default_rng(seed)
    drawn = [generator.choice(len(rest), len(chosen), replace=False) for _ in range(draws)]
    others = tuple(tuple(rest[i] for i in sorted(each)) for each in drawn)
    sets = (chosen, *others)
    sites = list(dict.fromkeys(unit.site for each in sets for unit in each))

    n_pairs = len(contrast)
    base, target = torch.empty(2, n_pairs, dtype=torch.float64)
    patched = torch.empty(len(sets), n_pairs, dtype=torch.float64)

    def run(rows: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        some = contrast.take(rows)
        with model.record(*sites) as source:
            more = model(some.more)
        cells = [[patch(unit, source) for unit in each] for each in sets]
        swept = sweep(model, some.base, cells, memory_budget=memory_budget)
        return model(some.base), more, swept

    for rows, found in by_length(run, contrast.base, at_once):
        base[rows], target[rows], patched[:, rows] = (each.to(base) for each in found)
    least = smallest_contrast(base, target) if least is None else least
    recovered: Tensor = recovery(patched, base, target, least=least)
    values = recovered.numpy(force=True)
    return SetEffects(chosen, values[0], others, values[1:])
