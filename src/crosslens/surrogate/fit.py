"""A score predicted from features by a linear formula, always for pairs that it was not fitted on.

How the pairs are split decides what is learnt. Split by pair, each query is in every part, and
columns that name a query (its IDFs) tell the level of its scores; that is how the authors split.
Split by query, the formula must serve queries it never saw. And a formula that tells queries
apart need not rank the documents of one: the correlation within a query says that.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.model_selection import GroupKFold, KFold
from sklearn.pipeline import make_pipeline, Pipeline
from sklearn.preprocessing import StandardScaler

from ..not_measurable import NotMeasurable
from .features import Features
from .observe import Observed
from .quality import Quality, quality


FOLDS: Final = 5

Folds = Iterable[tuple[np.ndarray, np.ndarray]]  # the rows to fit on, and those left out
Splits = Callable[[Observed], Folds]


def linear() -> Pipeline:
    """Least squares on standardised columns, scaled by what it is fitted on."""
    return make_pipeline(StandardScaler(), LinearRegression())


def ridge() -> Pipeline:
    """The same with a penalty, chosen on what it is fitted on: for many columns and few pairs."""
    return make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 15)))


def by_pair(observed: Observed, *, folds: int = FOLDS, seed: int = 0) -> Folds:
    """Each pair is left out once, whatever its query."""
    return KFold(folds, shuffle=True, random_state=seed).split(observed.score)


def by_query(observed: Observed, *, folds: int = FOLDS) -> Folds:
    """Each query is left out once, with all of its pairs.

    Raises:
        NotMeasurable: fewer queries than folds.
    """
    n_queries = len(set(observed.qid))
    if n_queries < folds:
        raise NotMeasurable(
            f"{n_queries} queries for {folds} folds: observe more queries, or ask for fewer "
            "folds, as in partial(by_query, folds=2)"
        )
    return GroupKFold(folds).split(observed.score, groups=observed.qid.astype(str))


@dataclass(frozen=True, eq=False)
class Fit:
    """A linear formula for the score.

    Attributes:
        predicted: the formula's score of each pair, fitted without that pair's fold.
        score: the model's.
        names, coefficients, intercept: the formula fitted on all pairs, in the columns' own units.
    """

    predicted: Float[np.ndarray, " pair"]
    score: Float[np.ndarray, " pair"]
    qid: np.ndarray
    names: tuple[str, ...]
    coefficients: Float[np.ndarray, " feature"]
    intercept: float

    def quality(self, *, seed: int = 0) -> Quality:
        """How near `predicted` comes to the score."""
        return quality(self.predicted, self.score, self.qid, seed=seed)

    @property
    def formula(self) -> str:
        """The formula as one would write it; columns of no weight are left out.

        A shared column is a sum over the query tokens.
        """
        terms = [
            f"{value:+.3g} · {name}"
            for name, value in zip(self.names, self.coefficients, strict=True)
            if value
        ]
        return " ".join([f"score ≈ {self.intercept:.3g}", *terms])


def fit_score(
    features: Features,
    observed: Observed,
    *,
    splits: Splits = by_query,
    estimator: Any = None,
) -> Fit:
    """The best linear formula of the score in these columns, predicted out of fold.

    Args:
        splits: `by_query` or `by_pair`.
        estimator: a scikit-learn regressor that is linear in its columns; `linear()` unless given.
    """
    X, y = features.values, observed.score
    estimator = linear() if estimator is None else estimator
    predicted = np.empty(len(y))
    for train, test in splits(observed):
        predicted[test] = _fitted(estimator, X[train], y[train]).predict(X[test])
    coefficients, intercept = _unscaled(_fitted(estimator, X, y), X.shape[1])
    return Fit(predicted, y, observed.qid, features.names, coefficients, intercept)


def _fitted(
    estimator: Any, X: Float[np.ndarray, "pair feature"], y: Float[np.ndarray, " pair"]
) -> Any:
    """A fresh copy of the estimator, fitted."""
    fresh: Any = clone(estimator)
    return fresh.fit(X, y)


def _unscaled(estimator: Any, n: int) -> tuple[Float[np.ndarray, " feature"], float]:
    """The coefficients of a fitted linear estimator in its columns' own units."""
    intercept = float(estimator.predict(np.zeros((1, n)))[0])
    return estimator.predict(np.eye(n)) - intercept, intercept
