"""Claims: what somebody reports of a mechanism, and the test that any model can be put to.

A claim is refuted or confirmed by figures, each with its control; the members that the test
finds in a model stand beside those that are known of published checkpoints.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Float

from crosslens import Unit
from crosslens.stats import bootstrap_interval


Evidence = TypeVar("Evidence")  # what a test looks at: a model, texts, and what was measured


@dataclass(frozen=True)
class Known:
    """The members that a source names for a checkpoint, and how sure that source is."""

    members: frozenset[Unit]
    source: str
    sure: str  # "authors' code", "read off one figure", "recalled", "traced by this project"


@dataclass(frozen=True)
class Figure:
    """One measured number of a test: what it is, its interval, its control, what was expected.

    `holds` is None where the figure informs and decides nothing.
    """

    name: str
    value: float
    low: float = float("nan")  # 95 % bootstrap interval
    high: float = float("nan")
    control: float = float("nan")  # the same of what should not show it
    n: int = 0  # pairs, heads or tokens behind it
    expected: str = ""
    holds: bool | None = None

    def __str__(self) -> str:
        text = f"{self.name} {number(self.value)}"
        if not math.isnan(self.low):
            text += f" ({number(self.low)} to {number(self.high)})"
        return text if math.isnan(self.control) else f"{text}, control {number(self.control)}"


def mean_of(
    name: str,
    values: Float[np.ndarray, " item"],
    *,
    control: Float[np.ndarray, " other"] | float = float("nan"),
    expected: str = "",
    holds: Callable[[float, float, float], bool] | None = None,
    seed: int = 0,
) -> Figure:
    """The figure that is a mean over items, with its bootstrap interval.

    `holds(low, high, control)` decides, given the interval's ends; items that are nan were
    skipped, and a figure of nothing is nan and does not hold.
    """
    there = ~np.isnan(values)
    beside = float(np.nanmean(control)) if np.size(control) and np.any(~np.isnan(control)) else None
    aside = float("nan") if beside is None else beside
    if not there.any():
        nothing = float("nan")
        return Figure(name, nothing, control=aside, expected=expected, holds=None)
    low, high = map(float, bootstrap_interval(values, seed=seed))
    decides = None if holds is None else bool(holds(low, high, aside))
    value = float(values[there].mean())
    return Figure(name, value, low, high, aside, int(there.sum()), expected, decides)


@dataclass(frozen=True)
class Verdict:
    """What a test found in one model."""

    claim: str
    checkpoint: str
    holds: bool | None  # None: the figures do not decide
    says: str  # one sentence, with the figures that decide
    figures: tuple[Figure, ...] = ()
    members: frozenset[Unit] = frozenset()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict, compare=False)

    @classmethod
    def by(
        cls,
        claim: str,
        checkpoint: str,
        figures: Sequence[Figure],
        *,
        says: str = "",
        members: frozenset[Unit] = frozenset(),
        tables: Mapping[str, pd.DataFrame] | None = None,
    ) -> "Verdict":
        """The verdict that the figures come to: it holds if all that decide do, and one does.

        Without a sentence of its own it says the figures that decided.
        """
        decisive = [each for each in figures if each.holds is not None]
        failed = [each for each in decisive if not each.holds]
        holds = None if not decisive else not failed
        if failed:
            named = "; ".join(f"{each}, expected {each.expected}" for each in failed)
        else:
            named = "; ".join(map(str, decisive))
        text = says or named or "no figure decides"
        return cls(claim, checkpoint, holds, text, tuple(figures), members, dict(tables or {}))

    @classmethod
    def undecided(cls, claim: str, checkpoint: str, why: str) -> "Verdict":
        """Nothing could be measured, and why."""
        return cls(claim, checkpoint, None, why)

    @property
    def deciding(self) -> Figure | None:
        """The first figure that refutes the claim, or else the last that it had to pass."""
        decisive = [each for each in self.figures if each.holds is not None]
        failed = [each for each in decisive if not each.holds]
        return next(iter(failed or decisive[-1:]), None)

    def frame(self) -> pd.DataFrame:
        """One row per figure."""
        columns = list(Figure.__dataclass_fields__)
        table = pd.DataFrame([asdict(each) for each in self.figures], columns=columns)
        table["holds"] = table["holds"].astype("boolean")  # None is an answer, not a missing one
        return table.assign(claim=self.claim)

    def record(self) -> dict[str, Any]:
        """The verdict as one row of a table."""
        deciding = self.deciding
        return {
            "claim": self.claim,
            "checkpoint": self.checkpoint,
            "holds": self.holds,
            "says": self.says,
            "figure": deciding.name if deciding else "",
            **{
                key: getattr(deciding, key) if deciding else float("nan")
                for key in ("value", "low", "high", "control")
            },
            "expected": deciding.expected if deciding else "",
            "members": " ".join(map(str, sorted(self.members))),
        }

    def __str__(self) -> str:
        return f"{self.claim} {HOLDS[self.holds]} in {self.checkpoint}: {self.says}"


HOLDS = {True: "holds", False: "does not hold", None: "is undecided"}


@dataclass(frozen=True)
class Claim(Generic[Evidence]):
    """A mechanism that somebody reports, and how to find out whether a model has it."""

    name: str
    claim: str
    test: str
    source: str
    known: Mapping[str, Known]  # by checkpoint
    detect: Callable[[Evidence], Verdict]  # a ValueError: these texts or this model allow no test


def number(value: float) -> str:
    """Two or three significant places, as tables and sentences write them."""
    if math.isnan(value):
        return "–"
    return (
        f"{value:.0f}"
        if abs(value) >= 100
        else f"{value:.3g}"
        if abs(value) >= 1
        else f"{value:.2f}"
    )
