"""Probes: what a simple model, fitted to some queries, predicts of the labels of others.

A query lies wholly within one fold, so that no probe has seen the queries that it is judged on. A
control task has random labels, the same for all items of a type (Hewitt and Liang, 2019): what a
probe predicts of them, above chance, it has memorised. Selectivity is the difference.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..frames import pd
from ..not_measurable import NotMeasurable
from ..stats import auroc, spearman


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Labels, what a probe that saw neither them nor their queries predicts, and the queries."""

    labels: Shaped[np.ndarray, " item"]  # bool, or numbers
    predicted: Float[np.ndarray, " item"]  # log odds of true, or numbers
    query: Shaped[np.ndarray, " item"]

    def by_query(self) -> Float[np.ndarray, " query"]:
        """How well the labels of each query are predicted, in the order of the queries.

        The share of pairs of a true and a false item in the right order (AUROC), between 0 and 1,
        chance 0.5; of labels that are numbers, Spearman's correlation. A query whose labels are
        all alike is skipped (nan), and one whose predictions are alike counts as chance.
        """
        is_truth = self.labels.dtype == bool
        found = []
        for query in pd.unique(self.query):
            here = self.query == query
            labels, predicted = self.labels[here], self.predicted[here]
            if len(np.unique(labels)) < 2:
                found.append(np.nan)
            elif is_truth:
                found.append(auroc(predicted, labels))
            else:
                is_flat = np.ptp(predicted) == 0
                found.append(0.0 if is_flat else spearman(predicted, labels.astype(float)))
        return np.array(found)


def held_out(
    vectors: Float[np.ndarray, "item d"],
    labels: Shaped[np.ndarray, " item"],
    query: Shaped[np.ndarray, " item"],
    *,
    train: Bool[np.ndarray, " item"] | None = None,
    probe: Any = None,
    folds: int = 5,
    seed: int = 0,
) -> HeldOut:
    """What a probe predicts of each item when fitted to the items of other queries.

    Args:
        labels: truth values (relevance, is matched), or numbers (IDF, term frequency).
        train: the items that may be fitted to; by default all. All are predicted.
        probe: any estimator of scikit-learn; by default standardised features and logistic
            regression for truth values, ridge regression for numbers.
        folds: in how many parts the queries are split, if there are as many.

    Raises:
        NotMeasurable: fewer than two queries, or labels that are all alike where a probe is fitted.
    """
    is_truth = labels.dtype == bool
    default = LogisticRegression(C=0.01, max_iter=1000) if is_truth else Ridge(alpha=100.0)
    probe = make_pipeline(StandardScaler(), default) if probe is None else probe
    predicted = np.zeros(len(labels))
    for fitted, judged in splits(labels, query, train, folds=folds, seed=seed):
        own: Any = clone(probe)
        own.fit(vectors[fitted], labels[fitted])
        predicted[judged] = (own.decision_function if is_truth else own.predict)(vectors[judged])
    return HeldOut(labels, predicted, query)


def splits(
    labels: Shaped[np.ndarray, " item"],
    query: Shaped[np.ndarray, " item"],
    train: Bool[np.ndarray, " item"] | None = None,
    *,
    folds: int,
    seed: int,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Which items each probe is fitted to, and which it predicts; no query is in both.

    Raises:
        NotMeasurable: fewer than two queries, or labels that are all alike where a probe is fitted.
    """
    n = len(np.unique(query))
    if min(n, folds) < 2:
        raise NotMeasurable(
            f"a probe is judged on queries it was not fitted to: it needs two, found {n} in "
            f"{folds} folds"
        )
    parts = GroupKFold(min(n, folds), shuffle=True, random_state=seed)
    found = []
    for fitted, judged in parts.split(labels, groups=query):
        fitted = fitted if train is None else fitted[train[fitted]]
        if len(np.unique(labels[fitted])) < 2:
            alike = f"{len(fitted)} of them, all {labels[fitted][0]}" if len(fitted) else "none"
            raise NotMeasurable(f"a probe needs labels that differ to be fitted to; found {alike}")
        found.append((fitted, judged))
    return found


def control_labels(
    labels: Shaped[np.ndarray, " item"], types: Shaped[np.ndarray, " item"], *, seed: int
) -> Shaped[np.ndarray, " item"]:
    """The labels of a control task: one for each type, drawn at random from `labels`.

    The types are token ids for labels of tokens, documents for labels of pairs.
    """
    kinds, which = np.unique(types, return_inverse=True)
    return np.random.default_rng(seed).choice(labels, size=len(kinds))[which]
