"""Concordance: how far an estimate of effects says what the exact effects say."""

from typing import NamedTuple

import numpy as np

from ...stats import spearman, top_k_overlap
from .effects import Effects


class Concordance(NamedTuple):
    """How two measurements of the same units agree."""

    spearman: float  # of the units' mean effects
    size_spearman: float  # of their sizes: the measure for an estimate without a sign
    overlap: float  # the share of the k units largest in size that are so in both
    same_sign: float  # the share, by exact size, of means with the same sign
    error: float  # the mean distance of the means, over the mean exact size
    n: int  # units compared
    k: int


def concordance(estimate: Effects, exact: Effects, *, k: int = 10) -> Concordance:
    """How far `estimate` agrees with `exact` on the units of `estimate`.

    The sign of a unit that does nothing means nothing, so that signs count by exact size. `k`
    is cut down to the number of units; units that no pair has are left out.

    Raises:
        LookupError: a unit that `exact` does not hold.
        ValueError: fewer than two units, or effects that are all the same.
    """
    missing = [unit for unit in estimate.units if unit not in set(exact.units)]
    if missing:
        raise LookupError(f"{missing[0]} has no exact effect; {len(exact.units)} other units have")
    place = {unit: i for i, unit in enumerate(exact.units)}
    a = estimate.mean.double().numpy(force=True)
    b = exact.mean.double().numpy(force=True)[[place[unit] for unit in estimate.units]]
    there = ~(np.isnan(a) | np.isnan(b))
    a, b = a[there], b[there]
    if len(a) < 2:
        raise ValueError(f"nothing to compare: {len(a)} units have an effect in both")
    size = np.abs(b)
    k = min(k, len(a))
    return Concordance(
        spearman(a, b),
        spearman(np.abs(a), size),
        top_k_overlap(np.abs(a), size, k),
        float(size[np.sign(a) == np.sign(b)].sum() / size.sum()),
        float(np.abs(a - b).mean() / size.mean()),
        len(a),
        k,
    )
