"""BM25 over the tokens the model reads, at many k1 and b: the exact formula, as well tuned as
the soft one."""

from collections.abc import Sequence
from itertools import product
from typing import Final

import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator, RegressorMixin

from ..signals.frequency import Number
from .features import Features
from .observe import Observed


K1: Final = (0.1, 0.3, 0.5, 0.8, 1.2, 2.0, 3.0, 5.0, 10.0)
B: Final = (0.0, 0.2, 0.4, 0.6, 0.75, 0.9, 1.0)


def bm25_grid(
    observed: Observed,
    idf: Float[np.ndarray, "pair place"],
    *,
    k1: Sequence[Number] = K1,
    b: Sequence[Number] = B,
    mean_length: float | None = None,
) -> Features:
    """BM25 of every pair, one column for each k1 and b; terms are the model's tokens.

    `mean_length` is that of the collection's documents in tokens; by default that of the
    documents observed, each pair counted.
    """
    mean_length = float(observed.length.mean()) if mean_length is None else mean_length
    relative = (observed.length / mean_length)[:, None]
    columns, names = [], []
    for k, slope in product(k1, b):
        norm = k * (1 - slope + slope * relative)
        share = np.zeros(observed.tf.shape)  # of a term that is not there, also where k1 is 0
        np.divide(observed.tf, observed.tf + norm, out=share, where=observed.tf > 0)
        columns.append((idf * share).sum(axis=1))
        names.append(f"BM25(k1={k:g}, b={slope:g})")
    return Features(np.stack(columns, axis=1), tuple(names))


class BestColumn(RegressorMixin, BaseEstimator):
    """The one column that goes best with the target, as a straight line.

    Tuning by training data alone: of a `bm25_grid`, the k1 and b of the training queries.
    """

    def fit(
        self, X: Float[np.ndarray, "pair feature"], y: Float[np.ndarray, " pair"]
    ) -> "BestColumn":
        centred, target = X - X.mean(axis=0), y - y.mean()
        size = np.linalg.norm(centred, axis=0)
        r = np.divide(target @ centred, size, out=np.zeros_like(size), where=size > 0)
        self.best_ = int(np.abs(r).argmax())
        best = size[self.best_]
        self.coef_ = np.zeros(X.shape[1])
        self.coef_[self.best_] = r[self.best_] / best if best > 0 else 0.0
        self.intercept_ = y.mean() - self.coef_ @ X.mean(axis=0)
        return self

    def predict(self, X: Float[np.ndarray, "pair feature"]) -> Float[np.ndarray, " pair"]:
        return X @ self.coef_ + self.intercept_
