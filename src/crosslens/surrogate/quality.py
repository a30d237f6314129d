"""How near one score comes to another: over all pairs, and among the documents of a query."""

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from scipy.stats import rankdata

from ..stats import bootstrap_interval


DRAWS: Final = 1_000


class Quality(NamedTuple):
    """Figures of a fit; intervals are 95 %, by drawing queries anew."""

    pearson: float
    low: float
    high: float
    spearman: float
    within_query: float  # the mean over queries of Pearson's correlation among its documents
    within_low: float
    within_high: float
    rmse: float
    r2: float
    queries: int
    pairs: int


def quality(
    predicted: Float[np.ndarray, " pair"],
    score: Float[np.ndarray, " pair"],
    qid: Shaped[np.ndarray, " pair"],
    *,
    seed: int = 0,
) -> Quality:
    """The agreement of `predicted` with `score`.

    Within a query whose documents are all predicted alike the correlation counts as 0: such a
    formula does not rank them. Queries that the model itself scores alike throughout, or with
    fewer than 3 documents, do not count. Where no query counts, the figures within are nan; so is
    R² of a score that is the same throughout, which has no variance to explain.
    """
    names, at = np.unique(qid.astype(str), return_inverse=True)
    within = np.array([_within(predicted[at == i], score[at == i]) for i in range(len(names))])
    some = not np.isnan(within).all()
    inside = bootstrap_interval(within, seed=seed) if some else (np.nan, np.nan)
    low, high = _interval(predicted, score, at, len(names), seed)
    error, variation = score - predicted, ((score - score.mean()) ** 2).sum()
    return Quality(
        pearson=_pearson(predicted, score),
        low=low,
        high=high,
        spearman=_pearson(rankdata(predicted), rankdata(score)),
        within_query=float(np.nanmean(within)) if some else float("nan"),
        within_low=float(inside[0]),
        within_high=float(inside[1]),
        rmse=float(np.sqrt((error**2).mean())),
        r2=float(1 - (error**2).sum() / variation) if np.ptp(score) else float("nan"),
        queries=len(names),
        pairs=len(score),
    )


def _pearson(a: Float[np.ndarray, " pair"], b: Float[np.ndarray, " pair"]) -> float:
    """Pearson's correlation; 0 where a side does not vary."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _within(predicted: Float[np.ndarray, " pair"], score: Float[np.ndarray, " pair"]) -> float:
    if len(score) < 3 or np.ptp(score) == 0:
        return float("nan")
    # a formula that tells a query's documents alike but for rounding has predicted nothing
    if np.ptp(predicted) < 1e-9 * (1 + np.abs(predicted).max()):
        return 0.0
    return _pearson(predicted, score)


def _interval(
    predicted: Float[np.ndarray, " pair"],
    score: Float[np.ndarray, " pair"],
    at: np.ndarray,
    n_queries: int,
    seed: int,
) -> tuple[float, float]:
    """Of Pearson's correlation over all pairs, queries drawn with all of their pairs.

    Six sums of each query make a draw a matrix product.
    """
    x, y = predicted - predicted.mean(), score - score.mean()
    sums = np.stack(
        [
            np.bincount(at, weights, minlength=n_queries)
            for weights in (np.ones_like(x), x, y, x * x, y * y, x * y)
        ]
    )
    times = np.random.default_rng(seed).multinomial(
        n_queries, np.full(n_queries, 1 / n_queries), size=DRAWS
    )
    n, sx, sy, sxx, syy, sxy = sums @ times.T
    # rounding takes a side that does not vary below 0
    spread = (sxx - sx * sx / n).clip(min=0) * (syy - sy * sy / n).clip(min=0)
    together = sxy - sx * sy / n
    r = np.divide(together, np.sqrt(spread), out=np.zeros(DRAWS), where=spread > 0)
    low, high = np.quantile(r, [0.025, 0.975])
    return float(low), float(high)
