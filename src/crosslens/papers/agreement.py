"""Whether what was measured agrees with what a paper found, in one plain sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ..frames import Frame, pd
from .paper import Finding, Quantity


AGREES: Final = "agrees"
LEANS: Final = "leans the same way"
DISAGREES: Final = "does not agree"
NOT_MEASURED: Final = "not measured"
_PLACES: Final = {"first": 0.0, "middle": 0.5, "two thirds": 2 / 3, "last": 1.0}


@dataclass(frozen=True)
class Measured:
    """A number with its interval, if it has one."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def is_spread(self) -> bool:
        """Whether it has an interval, of more than one pair."""
        return self.low != self.high

    def __str__(self) -> str:
        if self.low is None:
            return f"{self.value:.3g}"
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


@dataclass(frozen=True)
class Agreement:
    """The verdict on one finding, and the sentence that says it."""

    verdict: str
    sentence: str


def judged(finding: Finding, table: str, tables: Mapping[str, Frame]) -> Agreement:
    """Whether a finding holds for what was measured.

    It agrees where the interval of one side lies clear of the other; where it points the same way
    without being clear, or no side has an interval, it "leans". A number that the tables lack was
    not measured, and says so.
    """
    one = _read(finding.measured, table, tables)
    other = (
        _read(finding.other, table, tables)
        if isinstance(finding.other, Quantity)
        else Measured(finding.other)
    )
    published = f"; published: {finding.published} ({finding.sure})" if finding.published else ""
    if isinstance(one, str) or isinstance(other, str):
        why = one if isinstance(one, str) else other
        return Agreement(NOT_MEASURED, f"{finding.says} Not measured here: {why}{published}.")
    large, small = (other, one) if finding.is_below else (one, other)
    if not large.value > small.value:
        verdict = DISAGREES
    elif _low(large) > _high(small) and (large.is_spread or small.is_spread):
        verdict = AGREES
    else:
        verdict = LEANS
    against = f"where {other} is none" if finding.other == 0 else f"against {other}"
    return Agreement(
        verdict, f"{finding.says} Measured: {one} {against}{published}. This model {verdict}."
    )


def selected(table: Frame, where: Mapping[str, Any]) -> Frame:
    """The rows that `where` names; places among the layers are counted in the table itself."""
    for column, value in where.items():
        if column not in table:
            return table.iloc[:0]
        if (
            isinstance(value, str)
            and value in _PLACES
            and pd.api.types.is_numeric_dtype(table[column])
        ):
            steps = sorted(table[column].unique())
            value = steps[round(_PLACES[value] * (len(steps) - 1))] if steps else None
        values = value if isinstance(value, list) else [value]
        kept = table[column].isin(values)
        if pd.api.types.is_float_dtype(table[column]):  # a share of 0.111 is one ninth
            near = abs(table[column].to_numpy()[:, None] - np.array(values)) < 1e-3
            kept = near.any(axis=1)
        table = table[kept]
    return table


def _read(quantity: Quantity, table: str, tables: Mapping[str, Frame]) -> Measured | str:
    """The number, or why there is none."""
    name = quantity.table or table
    if name not in tables:
        return f"there is no table {name!r}"
    rows = selected(tables[name], quantity.where)
    where = ", ".join(f"{column} = {value}" for column, value in quantity.where.items())
    if quantity.column not in rows or rows[quantity.column].dropna().empty:
        return f"no {quantity.column} for {where or 'any row'}"
    value = float(rows[quantity.column].mean())
    if quantity.low and quantity.low in rows and len(rows) == 1:
        return Measured(
            value, float(rows[quantity.low].iloc[0]), float(rows[quantity.high].iloc[0])
        )
    return Measured(value)


def _low(number: Measured) -> float:
    return number.value if number.low is None else number.low


def _high(number: Measured) -> float:
    return number.value if number.high is None else number.high
