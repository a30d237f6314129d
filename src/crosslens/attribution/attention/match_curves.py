"""Curves of soft term frequency: over occurrences of the term, and over the document's length.

    MS(tf) - MS(0)  ~  a tf / (tf + k)              saturation: k is the tf of half the rise
    K(|d|) = k1 (1 - b + b |d| / avgdl)             what k becomes in a document of length |d|

so that k against length gives k1 and b, and so does what a document of the same tf loses as it
grows: 1 / MS - 1 = K(|d|) / tf. A head that is BM25's saturated term frequency has a = 1 and
both ways the same k1 and b; for any other head the fits say how it differs (Lu et al., 2025,
section 4.2, tests of saturation and length).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy import optimize

from ...contrasts.contrast import Contrast
from ...hooks import Hooked
from ...not_measurable import NotMeasurable
from ...pairs import Pairs
from ...sites import Unit
from ...stats import bootstrap_interval, Interval
from .soft_tf import soft_tf_of_term


LEAST: Final = 0.01  # of a head's attention: with less there is no curve to fit


@dataclass(frozen=True, eq=False)
class MatchCurve:
    """MS of the selected query term, head by head: at each level of something, in every pair."""

    heads: tuple[Unit, ...]
    value: Float[np.ndarray, "head level pair"]
    length: Float[np.ndarray, "level pair"]  # tokens of query and document
    tf: Float[np.ndarray, "level pair"]  # copies in the document of a token of the term

    def of(self, head: Unit) -> Float[np.ndarray, "level pair"]:
        """The curves of one head."""
        if head not in self.heads:
            raise LookupError(f"{head} has no curve; those of {len(self.heads)} other heads do")
        return self.value[self.heads.index(head)]

    @cached_property
    def increments(self) -> Float[np.ndarray, "head step pair"]:
        """What each level adds to the one before it."""
        return np.diff(self.value, axis=1)

    @property
    def mean(self) -> Float[np.ndarray, "head level"]:
        """The mean curve of every head."""
        return np.nanmean(self.value, axis=2)

    def interval(self, *, seed: int = 0) -> Interval:
        """The 95 % bootstrap interval of the mean increments: [head, step] each."""
        return bootstrap_interval(self.increments, seed=seed)


@dataclass(frozen=True)
class Bm25Fit:
    """k1 and b as a head has them, with 95 % bootstrap intervals over pairs."""

    k1: float
    b: float
    k1_interval: Interval
    b_interval: Interval
    n: int  # pairs with a curve to fit


def saturation_curve(
    model: Hooked, series: Sequence[Contrast], heads: Sequence[Unit] | None = None
) -> MatchCurve:
    """MS over 0, 1, 2 ... occurrences: the common base and each level of `Axioms.saturation`."""
    return _curve(model, [series[0].base, *(level.more for level in series)], heads)


def length_curve(
    model: Hooked, lengthened: Sequence[Pairs], heads: Sequence[Unit] | None = None
) -> MatchCurve:
    """MS as irrelevant sentences are added: the levels of `Axioms.lengthened`."""
    return _curve(model, lengthened, heads)


class Rise(NamedTuple):
    """Of each pair, how high a curve rises in the end, and the tf of half of that."""

    a: Float[np.ndarray, " pair"]
    k: Float[np.ndarray, " pair"]


def fit_saturation(curve: MatchCurve, head: Unit) -> Rise:
    """MS(tf) - MS(0) = a tf / (tf + k) by least squares, pair by pair.

    Nan where the curve does not rise by 0.01 in all; both are infinite where it does not bend.
    """
    value = curve.of(head)
    tf, rise = np.arange(len(value), dtype=float)[1:], (value - value[0])[1:]
    fits = [_saturating(tf, each) if each[-1] >= LEAST else (np.nan, np.nan) for each in rise.T]
    return Rise(*np.array(fits).T)


def fit_k(curve: MatchCurve, head: Unit, mean_length: float, *, seed: int = 0) -> Bm25Fit:
    """k1 and b from the half-way points k in documents of different lengths (T3).

    A line through k over |d| / avgdl, of the median slope between pairs (Theil and Sen).
    """
    k = fit_saturation(curve, head).k
    length = curve.length[0] / mean_length

    def fit(rows: np.ndarray) -> tuple[float, float]:
        x, y = length[rows], k[rows]
        one, other = np.nonzero(x[:, None] < x)
        slope = np.median((y[other] - y[one]) / (x[other] - x[one])) if len(one) else np.nan
        return _parameters(float(np.median(y - slope * x)), float(slope))

    return _resampled(fit, np.flatnonzero(np.isfinite(k)), seed)


def fit_length(curve: MatchCurve, head: Unit, mean_length: float, *, seed: int = 0) -> Bm25Fit:
    """k1 and b from what the head loses of each document as it grows (T4).

    Pairs without a copy of the term, or of which the head reads less than 0.01, say nothing.
    """
    value, tf = curve.of(head), curve.tf[0]
    there = np.flatnonzero((tf > 0) & (value.min(axis=0) >= LEAST))
    lines = {
        i: np.polynomial.Polynomial.fit(
            curve.length[:, i] / mean_length, tf[i] * (1 / value[:, i] - 1), 1
        )
        .convert()
        .coef
        for i in there
    }

    def fit(rows: np.ndarray) -> tuple[float, float]:
        at_zero, slope = np.median([lines[i] for i in rows], axis=0)
        return _parameters(float(at_zero), float(slope))

    return _resampled(fit, there, seed)


def _parameters(at_zero: float, slope: float) -> tuple[float, float]:
    """k1 and b of K = k1 (1 - b) + k1 b |d| / avgdl."""
    k1 = at_zero + slope
    return k1, slope / k1


def _resampled(
    fit: Callable[[np.ndarray], tuple[float, float]], rows: np.ndarray, seed: int, n: int = 200
) -> Bm25Fit:
    """The fit to `rows`, and its spread when they are drawn again."""
    if len(rows) < 2:
        raise NotMeasurable(
            f"k1 and b need two pairs with a curve at least; {len(rows)} are left: the head does "
            "not count this term, or too few pairs are given"
        )
    generator = np.random.default_rng(seed)
    again = np.array([fit(generator.choice(rows, len(rows))) for _ in range(n)])
    low, high = np.nanquantile(again, [0.025, 0.975], axis=0).tolist()
    return Bm25Fit(*fit(rows), Interval(low[0], high[0]), Interval(low[1], high[1]), len(rows))


def _saturating(
    tf: Float[np.ndarray, " level"], rise: Float[np.ndarray, " level"]
) -> tuple[float, float]:
    """Least squares of a tf / (tf + k): a is linear, so only k is searched, on a log scale."""

    def best_a(log_k: float) -> tuple[float, np.ndarray]:
        shape = tf / (tf + np.exp(log_k))
        a = float(shape @ rise / (shape @ shape))
        return a, a * shape

    found = optimize.minimize_scalar(
        lambda log_k: float(np.square(best_a(log_k)[1] - rise).sum()),
        bounds=(-7, 7),
        method="bounded",
        options={"xatol": 1e-6},
    )
    k = float(np.exp(found.x))
    return (best_a(found.x)[0], k) if k < 1000 else (np.inf, np.inf)


def _length(pairs: Pairs) -> Float[np.ndarray, " pair"]:
    """The number of tokens of query and document; special tokens are neither."""
    return pairs.where("query", "document").sum(dim=1).double().numpy(force=True)


@torch.no_grad()
def _curve(model: Hooked, levels: Sequence[Pairs], heads: Sequence[Unit] | None) -> MatchCurve:
    units = tuple(model.heads() if heads is None else heads)
    every = model.heads()
    rows = [every.index(unit) for unit in units]
    value = np.stack([soft_tf_of_term(model, pairs)[rows] for pairs in levels], axis=1)
    length = np.stack([_length(pairs) for pairs in levels])
    tf = np.stack([_copies(pairs) for pairs in levels])
    return MatchCurve(units, value, length, tf)


def _copies(pairs: Pairs) -> Float[np.ndarray, " pair"]:
    """How many copies a token of the selected term has in the document, on average."""
    term, document = pairs.where("Q+"), pairs.where("document")
    same = (pairs.token[:, :, None] == pairs.token[:, None, :]) & document[:, None, :]
    count = (same.sum(dim=2) * term).sum(dim=1) / term.sum(dim=1)
    return count.double().numpy(force=True)
