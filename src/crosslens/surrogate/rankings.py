"""Does the formula rank as the model does?"""

from typing import Final

import pandas as pd
from ir_measures import nDCG, ScoredDoc

from ..corpora.collection import Collection
from ..effectiveness import agreement, evaluate
from ..ranking import Run
from ..stats import bootstrap_interval
from .fit import Fit
from .observe import Observed


NDCG: Final = nDCG(dcg="exp-log2") @ 10


def runs_of(fit: Fit, observed: Observed) -> tuple[Run, Run]:
    """The documents of each query by the formula's score, and by the model's."""

    def run(scores: list[float], name: str) -> Run:
        ids = zip(observed.qid, observed.docid, scores, strict=True)
        return Run.of((ScoredDoc(str(q), str(d), score) for q, d, score in ids), name)

    return run(fit.predicted.tolist(), "formula"), run(fit.score.tolist(), "model")


def several(run: Run) -> Run:
    """The queries with more than one document."""
    return Run({qid: ranked for qid, ranked in run.items() if len(ranked) > 1}, run.name)


def ranking_agreement(fit: Fit, observed: Observed, collection: Collection) -> pd.DataFrame:
    """How alike the rankings of formula and model are: one row per figure, over queries.

    `tau` is Kendall's and `top10` the shared share of the first ten; where the collection judges
    them, `ndcg_formula` and `ndcg_model` are nDCG@10 (gains 2^label - 1) and `ndcg_relative` is
    the ratio of these two means. Columns: `figure`, `mean`, its 95 % bootstrap interval (`low`,
    `high`) and the number of queries `n`. A query with one document has no order, and no part.
    """
    formula, model = map(several, runs_of(fit, observed))
    alike = agreement(formula, model)
    columns = {"tau": alike["tau"], "top10": alike["top10"]}
    if any(qrel.query_id in formula for qrel in collection.qrels):
        for name, run in (("ndcg_formula", formula), ("ndcg_model", model)):
            by_query = evaluate(run, collection, [NDCG])
            columns[name] = by_query[by_query.index.isin(list(run))].iloc[:, 0]
    rows = []
    for name, values in columns.items():
        low, high = bootstrap_interval(values.to_numpy(dtype=float))
        rows.append((name, values.mean(), float(low), float(high), len(values)))
    means = {name: float(mean) for name, mean, *_ in rows}
    if means.get("ndcg_model"):
        ratio = means["ndcg_formula"] / means["ndcg_model"]
        rows.append(("ndcg_relative", ratio, float("nan"), float("nan"), len(alike)))
    return pd.DataFrame(rows, columns=["figure", "mean", "low", "high", "n"])
