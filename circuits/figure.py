"""One measured number of a test, with its interval, its control and what was expected of it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from crosslens import NotMeasurable
from crosslens.stats import bootstrap_interval


NOTHING = float("nan")


@dataclass(frozen=True)
class Figure:
    """One measured number of a test: what it is, its interval, its control, what was expected.

    `holds` is None where the figure decides nothing: because it only informs, or because it
    could not be measured, and then `reason` says why.
    """

    name: str
    value: float
    low: float = NOTHING  # 95 % bootstrap interval
    high: float = NOTHING
    control: float = NOTHING  # the same of what should not show it
    n: int = 0  # pairs, queries or tokens it was measured on
    expected: str = ""
    holds: bool | None = None
    reason: str = ""  # why it could not be measured

    @property
    def is_missing(self) -> bool:
        """It would have decided, and could not be measured."""
        return bool(self.reason and self.expected)

    def __str__(self) -> str:
        if self.reason:
            return f"{self.name}: not measured, {self.reason}"
        text = f"{self.name} {number(self.value)}"
        if not math.isnan(self.low):
            text += f" ({number(self.low)} to {number(self.high)})"
        return text if math.isnan(self.control) else f"{text}, control {number(self.control)}"


def mean_of(
    name: str,
    values: Float[np.ndarray, " item"],
    *,
    control: Float[np.ndarray, " other"] | float = NOTHING,
    expected: str = "",
    holds: Callable[[float, float, float], bool] | None = None,
    seed: int = 0,
) -> Figure:
    """The figure that is a mean over items, with its bootstrap interval.

    `holds(low, high, control)` decides, given the interval's ends. Items that are nan were
    skipped. Without any value, or with a control that has none, the figure was not measured.
    """
    there = ~np.isnan(values)
    known = np.asarray(control, dtype=float)
    known = known[~np.isnan(known)]
    if not there.any():
        return missing(name, f"none of {len(values)} has a value", expected)
    if np.ndim(control) and not known.size:
        return missing(name, f"none of {np.size(control)} in the control has a value", expected)
    low, high = map(float, bootstrap_interval(values, seed=seed))
    aside = float(known.mean()) if known.size else NOTHING
    decides = None if holds is None else bool(holds(low, high, aside))
    value = float(values[there].mean())
    return Figure(name, value, low, high, aside, int(there.sum()), expected, decides)


def missing(name: str, reason: str, expected: str = "") -> Figure:
    """The figure that could not be measured, and why."""
    return Figure(name, NOTHING, expected=expected, reason=reason)


def measured(
    name: str, measure: Callable[[], Sequence[Figure]], *, expected: str = ""
) -> list[Figure]:
    """The figures of a part of a test, or one in their place that says why there is none."""
    try:
        return list(measure())
    except NotMeasurable as error:
        return [missing(name, str(error), expected)]


def number(value: float | None) -> str:
    """Two or three significant places, as tables and sentences write them."""
    if value is None or math.isnan(value):  # None from a table in which no figure has a number
        return "–"
    if value == 0:  # as a count may be
        return "0"
    return (
        f"{value:.0f}"
        if abs(value) >= 100
        else f"{value:.3g}"
        if abs(value) >= 1
        else f"{value:z.2f}"
    )
