"""Activation patching: which parts of a model carry the difference between two inputs.

Each unit of the pair without a signal is given the value it has in the pair with it; the
share of the score that this restores is the unit's effect (Lu et al., 2025, section 3).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ..contrasts.contrast import Contrast
from ..hooks import Hooked
from ..interventions.patch import patch
from ..sites import Unit
from ..statistics import benjamini_hochberg, bootstrap_interval, paired_test
from .memory import budget_on, Footprint
from .recovery import recovery, smallest_contrast
from .sides import Sides
from .sweep import Progress, sweep


@dataclass(frozen=True, eq=False)
class Effects:
    """What each unit restores of a contrast, pair by pair, and how sure that is.

    `recovered` is nan where a pair has no contrast to recover, or has no token of the role
    that the unit names.
    """

    signal: str
    units: tuple[Unit, ...]
    recovered: Float[Tensor, "unit pair"]
    base: Float[Tensor, " pair"]  # the score without the signal
    target: Float[Tensor, " pair"]  # the score with it
    is_flat: tuple[bool, ...]  # pairs that score alike on both sides: skipped

    @classmethod
    def of_change(
        cls,
        contrast: Contrast,
        units: Sequence[Unit],
        change: Float[Tensor, "unit pair"],
        base: Float[Tensor, " pair"],
        target: Float[Tensor, " pair"],
        *,
        least: float | None = None,
    ) -> "Effects":
        """The effects of units each of which changes the score of the base by `change`.

        `least` is the smallest difference of a pair's two scores that has a share to speak of;
        see `smallest_contrast`.
        """
        least = smallest_contrast(base, target) if least is None else least
        none = torch.zeros_like(base)
        recovered = recovery(change, none, target - base, least=least)
        for i, unit in enumerate(units):
            absent = [~contrast.base.where(name).any(dim=1) for name in unit.named.values()]
            for missing in absent:
                recovered[i, missing] = torch.nan
        is_flat = recovery(none, none, target - base, least=least).isnan()
        return cls(contrast.signal, tuple(units), recovered, base, target, tuple(is_flat.tolist()))

    @property
    def n_skipped(self) -> int:
        """How many pairs have no contrast to recover."""
        return sum(self.is_flat)

    def of(self, unit: Unit) -> Float[Tensor, " pair"]:
        """The effects of one unit."""
        if unit not in self.units:
            raise LookupError(f"{unit} was not swept; {len(self.units)} other units were")
        return self.recovered[self.units.index(unit)]

    @cached_property
    def mean(self) -> Float[Tensor, " unit"]:
        """The mean effect of each unit over the pairs that have one."""
        return self.recovered.nanmean(dim=1)

    def frame(self) -> pd.DataFrame:
        """One row per pair and unit: never only a mean."""
        n_units, n_pairs = self.recovered.shape
        return pd.DataFrame(
            {
                **{name: values.repeat(n_pairs) for name, values in self._names().items()},
                "pair": np.tile(np.arange(n_pairs), n_units),
                "base": np.tile(self.base.numpy(force=True), n_units),
                "target": np.tile(self.target.numpy(force=True), n_units),
                "recovered": self.recovered.flatten().numpy(force=True),
            }
        )

    def summary(self, *, seed: int = 0) -> pd.DataFrame:
        """One row per unit: mean, 95 % bootstrap interval, pairs, p and FDR-adjusted q.

        p is that of a two-sided t-test against no effect; q is p by Benjamini and Hochberg
        over the units of this sweep.
        """
        values = self.recovered.double().numpy(force=True)
        there = (~np.isnan(values)).sum(axis=1)
        interval = bootstrap_interval(values, seed=seed)
        p = np.array(
            [
                paired_test(row, np.zeros_like(row)).p_value if n > 1 else np.nan
                for row, n in zip(values, there, strict=True)
            ]
        )
        mean = self.mean.numpy(force=True)
        return pd.DataFrame(
            {
                **self._names(),
                "mean": mean,
                "low": interval.low,
                "high": interval.high,
                "n": there,
                "p": p,
                "q": benjamini_hochberg(p),
            }
        )

    def _names(self) -> dict[str, np.ndarray]:
        """What the units are, a column each."""
        return {
            "signal": np.array([self.signal] * len(self.units)),
            "unit": np.array([str(unit) for unit in self.units]),
            "site": np.array([unit.site.name for unit in self.units]),
            "layer": np.array([unit.site.layer for unit in self.units]),
            "part": np.array(
                [" ".join(str(value) for _, value in unit.coordinates) for unit in self.units]
            ),
        }


@torch.no_grad()
def patching(
    model: Hooked,
    contrast: Contrast,
    units: Sequence[Unit],
    *,
    least: float | None = None,
    at_once: int = 16,
    memory_budget: int | None = None,
    progress: Progress | None = None,
    sides: Sides | None = None,
) -> Effects:
    """The share of `contrast` that each unit restores when patched from the side with the signal.

    A pair is skipped, and counted, if its two scores differ by less than `least`, by default
    the `smallest_contrast`. Pairs of like length are swept together, `at_once` of them, or
    fewer where `memory_budget` (in bytes) is short; `progress(done, total)` counts cells, a
    unit in one pair each. A unit that carries the same on both sides costs nothing. `sides` are
    the runs of this contrast without hooks, where they are made already.

    Raises:
        MemoryError: the budget does not hold one pair.
    """
    sites = list(dict.fromkeys(unit.site for unit in units))
    size = Footprint.of(model, contrast.base)
    budget = budget_on(size.device, memory_budget)
    each = size.of_sites(sites)  # the run with the signal; a sweep has as much again at most
    fit = min(at_once, budget // (2 * each + size.block))
    if fit < 1:
        raise size.refuse(2 * each + size.block, budget, "patching one pair")
    if sides is None:
        room = budget - fit * (2 * each + size.block)
        sides = Sides(model, contrast, units, at_once=fit, room=room)

    base, target = sides.scores("base"), sides.scores("more")
    least = smallest_contrast(base, target) if least is None else least
    is_flat = recovery(base, base, target, least=least).isnan()
    patched = base.expand(len(units), -1).clone()
    done, total = len(units) * int(is_flat.sum()), patched.numel()
    for rows in sides.bundles:
        alive = [i for i, row in enumerate(rows) if not is_flat[row]]
        if not alive:
            continue
        chosen = [rows[i] for i in alive]
        width = int(contrast.base.lengths[list(rows)].max())
        source = sides.some("more", rows, sites, alive)[0]
        hooks = [patch(unit, source) for unit in units]

        def report(cells: int, _: int, before: int = done, n: int = len(chosen)) -> None:
            if progress is not None:
                progress(before + cells * n, total)

        with sides.narrowed():
            patched[:, chosen] = sweep(
                model,
                contrast.base.take(chosen, width=width),
                hooks,
                memory_budget=budget - sides.taken - each * len(chosen),
                progress=report,
                recording=lambda wanted, rows=rows, alive=alive: sides.some(
                    "base", rows, wanted, alive
                ),
            )
        done += len(units) * len(chosen)
        if progress is not None:
            progress(done, total)
    return Effects.of_change(contrast, units, patched - base, base, target, least=least)
