"""How sure a number is: intervals, paired tests, and agreement of effects with a truth.

Pairs of query and document are what was drawn, so the last axis is always `pair` (or `item`), and
`nan` stands for a pair that was skipped, never for a result.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy import stats

from .not_measurable import NotMeasurable


__all__ = [
    "auroc",
    "average_precision",
    "benjamini_hochberg",
    "bootstrap_interval",
    "p_of_means",
    "paired_test",
    "permutation_test",
    "precision_at",
    "r_precision",
    "recall_at",
    "spearman",
    "top_k_overlap",
]


class Interval(NamedTuple):
    """The two ends of a confidence interval."""

    low: Float[np.ndarray, "..."]
    high: Float[np.ndarray, "..."]


class Paired(NamedTuple):
    """A paired t-test: the mean of `a - b`, t, its two-sided p, and how many pairs."""

    difference: float
    statistic: float
    p_value: float
    n: int


def bootstrap_interval(
    values: Float[np.ndarray, "... pair"],
    *,
    confidence: float = 0.95,
    n: int = 2000,
    seed: int | np.random.Generator = 0,
) -> Interval:
    """The percentile bootstrap interval of the mean over pairs (Efron, 1979).

    All cells share the same draws of pairs, as they share the pairs. Skipped pairs (`nan`) count
    for neither; a cell without a pair has no interval (`nan`).

    Args:
        values: one row of pairs per cell, any leading axes.
        confidence: the share of resampled means inside the interval.
        n: how many times the pairs are drawn again.
        seed: an integer, or a generator to draw from.

    Raises:
        NotMeasurable: no pair at all.
        ValueError: a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies between 0 and 1, not {confidence}")
    n_pairs = values.shape[-1]
    there = ~np.isnan(values)
    if not there.any():
        raise NotMeasurable(f"no interval of nothing: {values.shape} values, all of them skipped")
    generator = np.random.default_rng(seed)
    # drawing n_pairs with replacement is drawing how often each comes up: one matrix product
    # then resamples every cell
    times = generator.multinomial(n_pairs, np.full(n_pairs, 1 / n_pairs), size=n).astype(float)
    totals = np.nan_to_num(values) @ times.T
    counts = there.astype(float) @ times.T
    means = np.divide(totals, counts, out=np.full_like(totals, np.nan), where=counts > 0)
    empty = ~there.any(axis=-1)
    means[empty] = 0  # a row of nan has no quantile; the row is undone below
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(means, [tail, 1 - tail], axis=-1)
    return Interval(np.where(empty, np.nan, low), np.where(empty, np.nan, high))


def paired_test(a: Float[np.ndarray, " pair"], b: Float[np.ndarray, " pair"]) -> Paired:
    """Whether the mean of `a - b` differs from 0; pairs that either side skipped are left out.

    Raises:
        NotMeasurable: fewer than two pairs are left.
    """
    both = ~(np.isnan(a) | np.isnan(b))
    difference = a[both] - b[both]
    if len(difference) < 2:
        raise NotMeasurable(f"a paired test needs two pairs at least; {len(difference)} are left")
    # differences that are one number but for rounding have no spread to test the mean by
    rounding = 8 * np.finfo(float).eps * max(np.abs(a[both]).max(), np.abs(b[both]).max())
    if np.ptp(difference) <= rounding:
        # t is ±infinite, or 0 / 0 where both sides are the same
        mean = float(difference[0]) if np.abs(difference).max() > rounding else 0.0
        t = np.copysign(np.inf, mean) if mean else 0.0
        return Paired(mean, float(t), float(mean == 0), len(difference))
    test = stats.ttest_rel(a[both], b[both])
    return Paired(
        float(difference.mean()), float(test.statistic), float(test.pvalue), len(difference)
    )


def permutation_test(
    a: Float[np.ndarray, " pair"], b: Float[np.ndarray, " pair"], *, n: int = 9_999, seed: int = 0
) -> float:
    """The two-sided p (0 to 1) of the mean of `a - b` where the two of a pair could be exchanged.

    Fisher's paired randomisation test by `n` draws of signs, among which the values as they are
    count as one. Pairs that either side skipped are left out.

    Raises:
        NotMeasurable: fewer than two pairs are left.
    """
    difference = (a - b)[~(np.isnan(a) | np.isnan(b))]
    if len(difference) < 2:
        raise NotMeasurable(f"a paired test needs two pairs at least; {len(difference)} are left")
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(n, len(difference)))
    rounding = 8 * np.finfo(float).eps * np.abs(difference).sum()
    as_far = np.abs(signs @ difference) >= abs(difference.sum()) - rounding
    return float((1 + as_far.sum()) / (1 + n))


def p_of_means(values: Float[np.ndarray, "cell pair"]) -> Float[np.ndarray, " cell"]:
    """The two-sided p (0 to 1) of a t-test of each cell's mean against 0, over the pairs it has.

    What `paired_test` against zeros gives, for many cells at once; `nan` for a cell with fewer
    than two pairs.
    """
    there = ~np.isnan(values)
    n = there.sum(axis=1)
    p = np.full(len(values), np.nan)
    known, n = values[n > 1], n[n > 1]
    mean = np.nanmean(known, axis=1)
    t = np.full_like(mean, np.inf)  # where all pairs are alike: p is 0, or 1 where they are 0
    spread = np.nanmax(known, axis=1, initial=-np.inf) - np.nanmin(known, axis=1, initial=np.inf)
    some = spread > 0
    error = np.nanstd(known[some], axis=1, ddof=1) / np.sqrt(n[some])
    t[some] = np.abs(mean[some]) / error
    t[(spread == 0) & (mean == 0)] = 0
    p[there.sum(axis=1) > 1] = 2 * stats.t.sf(t, n - 1)
    return p


def benjamini_hochberg(p: Float[np.ndarray, "*cell"]) -> Float[np.ndarray, "*cell"]:
    """P-values adjusted for their number: below α, a false discovery rate of at most α.

    Benjamini and Hochberg (1995). Tests that were not made (`nan`) stay so and do not count.

    Raises:
        ValueError: a p-value outside 0 to 1.
    """
    made = ~np.isnan(p)
    if (bad := p[made & ~((p >= 0) & (p <= 1))]).size:
        raise ValueError(f"p-values lie between 0 and 1; found {bad[0]}")
    adjusted = np.full_like(p, np.nan)
    if made.any():
        adjusted[made] = stats.false_discovery_control(p[made], method="bh")
    return adjusted


def auroc(effects: Float[np.ndarray, " item"], truth: Bool[np.ndarray, " item"]) -> float:
    """The chance that a true item has the larger effect than a false one; ties count half.

    Raises:
        ValueError: only true or only false items, or an effect that is `nan`.
    """
    n_true, n_false = int(truth.sum()), int((~truth).sum())
    if not n_true or not n_false:
        raise ValueError(f"AUROC compares two kinds; found {n_true} true and {n_false} false items")
    complete(effects)
    # Mann and Whitney's U by its ranks; scipy's test would compute its p-value too
    larger = stats.rankdata(effects)[truth].sum() - n_true * (n_true + 1) / 2
    return float(larger) / (n_true * n_false)


def precision_at(
    effects: Float[np.ndarray, " item"], truth: Bool[np.ndarray, " item"], k: int
) -> float:
    """The share of the `k` largest effects that are true."""
    return float(truth[top(effects, k)].mean())


def recall_at(
    effects: Float[np.ndarray, " item"], truth: Bool[np.ndarray, " item"], k: int
) -> float:
    """The share of what is true that is among the `k` largest effects.

    Raises:
        ValueError: no item is true, or `k` is not a number of items.
    """
    if not truth.any():
        raise ValueError("recall of nothing: no item is true")
    return float(truth[top(effects, k)].sum() / truth.sum())


def top_k_overlap(a: Float[np.ndarray, " item"], b: Float[np.ndarray, " item"], k: int) -> float:
    """The share of the `k` largest of `a` that are among the `k` largest of `b`."""
    return len(np.intersect1d(top(a, k), top(b, k))) / k


def r_precision(effects: Float[np.ndarray, " item"], truth: Bool[np.ndarray, " item"]) -> float:
    """Precision among as many items as are true, which is recall there too.

    Of items equal at the border an even share counts, as if their order were drawn by lot.

    Raises:
        ValueError: no item is true, or an effect is `nan`.
    """
    k = int(truth.sum())
    if not k:
        raise ValueError("precision at the number of true items: no item is true")
    border = effects[top(effects, k)[-1]]
    above, level = effects > border, effects == border
    by_lot = (k - above.sum()) * truth[level].mean()
    return float((truth[above].sum() + by_lot) / k)


def average_precision(
    effects: Float[np.ndarray, " item"], truth: Bool[np.ndarray, " item"]
) -> float:
    """The mean, over true items, of the precision among all items at least as large as it.

    Raises:
        ValueError: no item is true, or an effect is `nan`.
    """
    complete(effects)
    if not truth.any():
        raise ValueError("average precision of nothing: no item is true")
    as_large = effects[None] >= effects[truth][:, None]
    precision = (as_large & truth).sum(axis=1) / as_large.sum(axis=1)
    return float(precision.mean())


def spearman(a: Float[np.ndarray, " item"], b: Float[np.ndarray, " item"]) -> float:
    """Spearman's rank correlation.

    Raises:
        ValueError: a side that is constant has no ranks to correlate.
    """
    complete(a)
    complete(b)
    for name, side in (("first", a), ("second", b)):
        if len(side) < 2 or np.ptp(side) == 0:
            raise ValueError(f"the {name} of the two has nothing to rank: {len(side)} equal values")
    return float(np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1])


def top(effects: Float[np.ndarray, " item"], k: int) -> Integer[np.ndarray, " k"]:
    """Where the `k` largest effects are, largest first; of equals, the earlier."""
    complete(effects)
    if not 1 <= k <= len(effects):
        raise ValueError(f"the top {k} of {len(effects)} items; k must lie between 1 and that")
    return np.argsort(-effects, kind="stable")[:k]


def complete(effects: Float[np.ndarray, " item"]) -> None:
    """An error if an effect is `nan`: it has no place in an order."""
    missing = np.flatnonzero(np.isnan(effects))
    if missing.size:
        raise ValueError(f"effects of items {missing[:5].tolist()} are nan; leave those items out")
