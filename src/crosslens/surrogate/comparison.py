"""The BM25-like formula beside its controls and beside BM25, each predicted out of fold.

| formula | asks |
|---|---|
| soft BM25 | matching heads' soft frequency, IDF as the embeddings have it, their product |
| true IDF | does the embeddings' IDF do as well as the collection's? |
| shuffled IDF | would any number per token do? |
| other heads | would any heads do? As many, drawn from the rest; the mean of some draws |
| only tf, only IDF | is one of the two enough? |
| noise | what do so many columns tell by chance? |
| BM25 | exact terms, the usual k1 and b |
| BM25, tuned | the k1 and b of the training folds that tell the model's score best |

The first seven are Lu et al. (2025, section 5) and the controls it lacks.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ..sites import Unit
from .bm25_grid import BestColumn, bm25_grid
from .features import Features, random_features, shared
from .fit import by_pair, by_query, Fit, fit_score, Splits
from .observe import Observed, written


SOFT: Final = "soft BM25"
TUNED: Final = "BM25, tuned"
OTHER_HEADS: Final = "other heads"

Layout = Callable[..., Features]  # `shared` or `by_place`


def compare_formulas(
    observed: Observed,
    matching: Sequence[Unit],
    rarity: Float[Tensor, " id"],
    idf: Float[Tensor, " id"],
    *,
    layout: Layout = shared,
    estimator: Any = None,
    draws: int = 3,
    seed: int = 0,
) -> pd.DataFrame:
    """How well each formula tells the score, split by pair and by query.

    Args:
        observed: of all heads, so that others can be drawn; without others that control is
            left out.
        matching: the heads whose soft frequency counts.
        rarity: of every token, as the embeddings have it (`IdfDirection.values`).
        idf: of every token, as the collection has it (`TokenIdf.filled()`).
        layout: `shared` coefficients, or one for each place (`by_place`).

    Returns:
        One row per formula and split: `formula`, `split`, `columns`, then `Quality`.
    """
    formulas = formulas_of(observed, matching, rarity, idf, layout=layout, draws=draws, seed=seed)
    named: dict[str, Splits] = {"by pair": partial(by_pair, seed=seed), "by query": by_query}
    rows = []
    for split, splits in named.items():
        for name, variants in formulas.items():
            fits = [fit_formula(each, observed, splits, estimator) for each in variants]
            figures = pd.DataFrame([fit.quality(seed=seed) for fit in fits]).mean()
            rows.append(
                {"formula": name, "split": split, "columns": len(variants[0].names), **figures}
            )
    return pd.DataFrame(rows).astype({"queries": int, "pairs": int})


def formulas_of(
    observed: Observed,
    matching: Sequence[Unit],
    rarity: Float[Tensor, " id"],
    idf: Float[Tensor, " id"],
    *,
    layout: Layout = shared,
    draws: int = 3,
    seed: int = 0,
) -> Mapping[str, Sequence[Features]]:
    """The columns of each formula; of one that chance has a part in, of some draws."""
    chance = np.random.default_rng(seed)
    names = [written(head) for head in matching]
    soft, g, true = observed.of(matching), observed.at(rarity), observed.at(idf)
    whole = layout(g, soft, names)
    mixed = [rarity[torch.from_numpy(chance.permutation(len(rarity)))] for _ in range(draws)]
    formulas = {
        SOFT: [whole],
        "true IDF": [layout(true, soft, names)],
        "shuffled IDF": [layout(observed.at(each), soft, names) for each in mixed],
        "only tf": [layout(g, soft, names, parts=["tf"])],
        "only IDF": [layout(g, soft, names, parts=["idf"])],
        "noise": [random_features(whole, observed, seed=seed + i) for i in range(draws)],
        "BM25": [bm25_grid(observed, true, k1=[1.2], b=[0.75])],
        TUNED: [bm25_grid(observed, true)],
    }
    rest = np.array([head not in names for head in observed.heads]).nonzero()[0]
    if len(rest) >= len(names):
        drawn = [chance.choice(rest, size=len(names), replace=False) for _ in range(draws)]
        formulas[OTHER_HEADS] = [
            layout(g, observed.soft_tf[..., i], [observed.heads[j] for j in i]) for i in drawn
        ]
    return formulas


def fit_formula(
    features: Features, observed: Observed, splits: Splits = by_query, estimator: Any = None
) -> Fit:
    """The fit of any of the formulas: BM25's columns are alternatives, all others add up."""
    is_bm25 = features.names[0].startswith("BM25(")
    chosen = BestColumn() if is_bm25 else estimator
    return fit_score(features, observed, splits=splits, estimator=chosen)
