"""Faithfulness: the share of a contrast that a circuit restores on its own, pair by pair.

    f(C) = (m(C) - m(0)) / (m(N) - m(0))

m is the relevance score of the pairs with the signal: m(N) of the whole model, m(C) when only
the circuit keeps what it has, m(0) when nothing does. 1: the circuit does all that the model
does; 0: nothing of it. Mueller et al. (2025) divide means over examples; here each pair has a
share of its own, and pairs between whose ends is too little to share are nan, as in `recovery`.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ..attribution.edges.edge_graph import Part
from ..attribution.patching.recovery import recovery, smallest_contrast
from ..by_pair import by_pair
from ..stats import bootstrap_interval


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """The relevance scores of pairs when only a circuit is kept, for some circuits."""

    signal: str
    circuits: tuple[frozenset[Part], ...]
    n_all: int  # how many nodes, or edges, there are to keep
    kept: Float[Tensor, "circuit pair"]  # the score with each circuit alone
    empty: Float[Tensor, " pair"]  # the score when nothing is kept
    whole: Float[Tensor, " pair"]  # the score of the whole model

    @cached_property
    def restored(self) -> Float[Tensor, "circuit pair"]:
        """f of every circuit, pair by pair; nan where whole and empty score about alike."""
        least = smallest_contrast(self.empty, self.whole)
        return recovery(self.kept, self.empty, self.whole, least=least)

    @cached_property
    def mean(self) -> Float[Tensor, " circuit"]:
        """f of every circuit, on average over the pairs that have one."""
        return self.restored.nanmean(dim=1)

    @property
    def shares(self) -> Float[Tensor, " circuit"]:
        """How large each circuit is, as a share of all there is to keep."""
        sizes = torch.tensor([len(circuit) for circuit in self.circuits], dtype=torch.float64)
        return sizes / self.n_all

    @property
    def n_skipped(self) -> int:
        """How many pairs have no contrast to restore."""
        return int(self.restored.isnan().all(dim=0).sum())

    def frame(self) -> pd.DataFrame:
        """One row per circuit and pair."""
        n_circuits = len(self.circuits)
        names = {
            "signal": [self.signal] * n_circuits,
            "circuit": np.arange(n_circuits),
            "size": [len(circuit) for circuit in self.circuits],
            "share": self.shares.numpy(),
        }
        return by_pair(
            names, kept=self.kept, empty=self.empty, whole=self.whole, restored=self.restored
        )

    def summary(self, *, seed: int = 0) -> pd.DataFrame:
        """One row per circuit: size, mean f, its 95 % bootstrap interval, pairs."""
        return pd.DataFrame(
            {
                "signal": self.signal,
                "size": [len(circuit) for circuit in self.circuits],
                "share": self.shares.numpy(),
                **over_pairs(self.restored, seed=seed),
            }
        )


def over_pairs(values: Float[Tensor, "row pair"], *, seed: int = 0) -> dict[str, np.ndarray]:
    """The mean of each row, its 95 % bootstrap interval, and how many pairs are behind it."""
    found = values.double().numpy(force=True)
    low, high = bootstrap_interval(found, seed=seed)
    there = (~np.isnan(found)).sum(axis=1)
    return {"mean": np.nanmean(found, axis=1), "low": low, "high": high, "n": there}
