"""The mean flow of every neuron over the pairs of a class, in two halves of the pairs.

The halves show how far what is found depends on the pairs that were drawn: no overlap between
two collections can be expected to exceed that between the halves of one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from ..not_measurable import NotMeasurable
from .neurons import Neurons
from .schemes import Scheme


RELEVANT: Final = "P"
OTHER: Final = "N"
FUSED: Final = "F"


@dataclass(frozen=True, eq=False)
class Half:
    """The flow of every neuron, summed over some pairs of a class."""

    total: Float[np.ndarray, " neuron"]
    n: int


@dataclass(frozen=True, eq=False)
class ClassFlow:
    """Flows in a collection: those of its relevant pairs (P), of the others (N), or of both.

    A class without pairs is missing from `halves`.
    """

    name: str
    neurons: Neurons
    halves: Mapping[str, tuple[Half, Half]]

    @classmethod
    def of(cls, name: str, neurons: Neurons, parts: Iterable[pd.DataFrame]) -> "ClassFlow":
        """From sums over parts of the pairs: columns class, half (0, 1), n and flow (by neuron)."""
        totals: dict[str, list[Half]] = {}
        for part in parts:
            for row in part.to_dict("records"):
                nothing = Half(np.zeros(len(neurons)), 0)
                halves = totals.setdefault(str(row["class"]), [nothing, nothing])
                old, flow = halves[row["half"]], np.asarray(row["flow"], dtype=float)
                halves[row["half"]] = Half(old.total + flow, old.n + int(row["n"]))
        return cls(name, neurons, {kind: (one, other) for kind, (one, other) in totals.items()})

    def has(self, kind: str) -> bool:
        """Whether there is a mean flow for "P", "N", or, where both are, "F"."""
        return not self.why_not(kind)

    def why_not(self, kind: str) -> str:
        """Why there is no scheme P, N or F; empty where there is one."""
        for each in _parts(kind):
            if each not in self.halves:
                return f"no {CLASSES[each]} pair whose prediction agrees with its judgement"
            if np.ptp(self.mean_of(each)) == 0:
                return f"no neuron has any flow in its {CLASSES[each]} pairs: the target is flat"
        return ""

    def n(self, kind: str) -> int:
        """How many pairs the mean is over."""
        return sum(half.n for each in _parts(kind) for half in self.halves.get(each, ()))

    def mean(self, kind: str, half: int | None = None) -> Float[np.ndarray, " neuron"]:
        """The mean conductance, of all pairs or of one half; of "F" the mean of the two classes'.

        It is signed, in units of the target.

        Raises:
            NotMeasurable: the collection has no pair of the class, or of that half of it.
        """
        return np.mean([self.mean_of(each, half) for each in _parts(kind)], axis=0)

    def mean_of(self, kind: str, half: int | None = None) -> Float[np.ndarray, " neuron"]:
        """As `mean`, of "P" or "N": the conductance, in units of the target.

        Raises:
            NotMeasurable: as `mean`.
        """
        halves = self.halves.get(kind, ())
        chosen = halves if half is None else halves[half : half + 1]
        n = sum(one.n for one in chosen)
        if not n:
            where = "" if half is None else f" in half {half + 1}"
            raise NotMeasurable(
                f"{self.name}: no {CLASSES[kind]} pair whose prediction agrees with its "
                f"judgement{where}"
            )
        return np.sum([one.total for one in chosen], axis=0) / n

    def has_halves(self, kind: str) -> bool:
        """Whether each half of the pairs has a flow of its own."""
        parts = _parts(kind)
        return self.has(kind) and all(
            half.n and np.ptp(half.total) > 0 for each in parts for half in self.halves[each]
        )

    def top(self, kind: str, share: float, half: int | None = None) -> Scheme:
        """The top `share` of the neurons by mean flow: the scheme P, N or F of this collection.

        Raises:
            NotMeasurable: as `mean`.
            ValueError: the share is less than one neuron.
        """
        name = f"{kind} {self.name}"
        made = {"collection": self.name, "class": kind, "pairs": self.n(kind)}
        return Scheme.top(name, self.neurons, self.mean(kind, half), share, made)


CLASSES: Final = {RELEVANT: "relevant", OTHER: "other"}


def _parts(kind: str) -> tuple[str, ...]:
    return (RELEVANT, OTHER) if kind == FUSED else (kind,)
