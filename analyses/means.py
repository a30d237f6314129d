"""Means with their 95 % bootstrap intervals, as rows of tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crosslens.frames import Column, Frame, pd
from crosslens.stats import bootstrap_interval, paired_test


def mean_row(
    values: np.ndarray | Column, name: str = "mean", *, seed: int = 0
) -> dict[str, float | int]:
    """The mean as `name`, its interval from `low` to `high`, and `n`, how many values there are."""
    values = np.asarray(values)
    low, high = bootstrap_interval(values, seed=seed)
    return {name: values.mean(), "low": float(low), "high": float(high), "n": len(values)}


def means_by(
    table: Frame, keys: Sequence[str], column: str, name: str = "mean", *, seed: int = 0
) -> Frame:
    """One `mean_row` of a column for each value of the keys, in the order of the table."""
    return pd.DataFrame(
        {**dict(zip(keys, key, strict=True)), **mean_row(some[column], name, seed=seed)}
        for key, some in table.groupby([*keys], sort=False)
    )


def means_of(columns: Mapping[str, np.ndarray | Column], seed: int = 0) -> dict[str, float]:
    """The mean of each column as its name, with `NAME_low` and `NAME_high`.

    All columns share the draws: they are of the same pairs, of which those skipped (nan) do not
    count.
    """
    values = np.stack([np.asarray(each, dtype=float) for each in columns.values()])
    low, high = bootstrap_interval(values, seed=seed)
    row: dict[str, float] = {}
    for i, name in enumerate(columns):
        row |= {name: np.nanmean(values[i]), f"{name}_low": low[i], f"{name}_high": high[i]}
    return row


def paired_row(a: np.ndarray, b: np.ndarray, seed: int) -> dict[str, Any]:
    """`difference`, of a less b, its `low` and `high`, and `p`, none of a single pair."""
    low, high = bootstrap_interval(a - b, seed=seed)
    return {
        "difference": (a - b).mean(),
        "low": float(low),
        "high": float(high),
        "p": paired_test(a, b).p_value if len(a) > 1 else None,
    }
