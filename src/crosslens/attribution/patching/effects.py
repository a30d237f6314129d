"""Effects: what each unit restores of a contrast, pair by pair, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ...arrays import array
from ...by_pair import by_pair
from ...contrasts.contrast import Contrast
from ...sites import Unit
from ...stats import benjamini_hochberg, bootstrap_interval, p_of_means
from .recovery import recovered_share


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

        `least` as in `recovered_share`.
        """
        recovered, is_flat = recovered_share(change, base, target, least=least)
        for i, unit in enumerate(units):
            absent = [~contrast.base.where(name).any(dim=1) for name in unit.named.values()]
            for missing in absent:
                recovered[i, missing] = torch.nan
        return cls(contrast.signal, tuple(units), recovered, base, target, is_flat)

    @classmethod
    def of_frame(cls, frame: pd.DataFrame, units: Sequence[Unit]) -> "Effects":
        """The effects that a table of one signal came from, its parts one below another.

        Pairs in which all units have no effect are skipped ones.
        """
        (signal,) = frame["signal"].unique()
        wide = frame.pivot(index="unit", columns="pair", values="recovered")
        scores = frame.drop_duplicates("pair").set_index("pair").loc[wide.columns]
        recovered = torch.tensor(wide.loc[[str(unit) for unit in units]].to_numpy())
        is_flat = tuple(recovered.isnan().all(dim=0).tolist())
        base, target = (torch.tensor(scores[name].to_numpy()) for name in ("base", "target"))
        return cls(str(signal), tuple(units), recovered, base, target, is_flat)

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
        scores = {"base": self.base, "target": self.target}
        return by_pair(self._names(), **scores, recovered=self.recovered)

    def summary(self, *, seed: int = 0) -> pd.DataFrame:
        """One row per unit: mean, 95 % bootstrap interval, pairs, p and FDR-adjusted q.

        p is that of a two-sided t-test against no effect; q is p by Benjamini and Hochberg
        over the units of this sweep.
        """
        values = self.recovered.double().numpy(force=True)
        there = (~np.isnan(values)).sum(axis=1)
        interval = bootstrap_interval(values, seed=seed)
        p = p_of_means(values)
        mean = array(self.mean)
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

    def __repr__(self) -> str:
        return f"Effects({self.signal}: {len(self.units)} units, {len(self.base)} pairs)"

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
