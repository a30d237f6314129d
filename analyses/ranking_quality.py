"""How well several scores rank the same candidates, and how each differs from the first."""

from collections.abc import Container
from dataclasses import replace
from typing import Final

from ir_measures import nDCG, RR, ScoredDoc

from crosslens import Bm25Index, Collection, NotMeasurable, Run
from crosslens.effectiveness import evaluate, relevant_from
from crosslens.frames import Frame, pd
from crosslens.stats import bootstrap_interval

from .running import Given


MEASURES: Final = ["MRR@10", "nDCG@10"]


def judged_sample(
    given: Given, depth: int, pairs: int | None = None, *, without: Container[str] = ()
) -> tuple[Collection, Frame]:
    """Queries with relevant and other candidates, `depth` each; `given.pairs` pairs at most.

    Or at most `pairs`; queries of `without` are left out.

    The candidates are drawn from the labels in turn. Columns of the table: qid, docid, is_relevant.

    Raises:
        NotMeasurable: no query has candidates of both kinds.
    """
    texts, labels = given.texts, given.texts.labels
    least = relevant_from(texts.qrels)

    def is_relevant(qid: str, docid: str) -> bool:
        return labels.get(qid, {}).get(docid, 0) >= least

    both = {
        qid: docids
        for qid, docids in texts.candidates.items()
        if len({is_relevant(qid, docid) for docid in docids}) == 2 and qid not in without
    }
    if not both:
        raise NotMeasurable(
            f"no query of collection {texts.name!r} has both relevant and other candidates"
        )
    n = max(1, (given.pairs if pairs is None else pairs) // depth)
    sample = replace(texts, candidates=both).sample(n, depth, given.seed)
    rows = [
        (qid, docid, is_relevant(qid, docid))
        for qid, docids in sample.candidates.items()
        for docid in docids
    ]
    # labels of the sample may stop below the grade that counts in the whole
    return sample, pd.DataFrame(rows, columns=["qid", "docid", "is_relevant"])


def bm25_scores(given: Given, rows: Frame) -> list[float]:
    """The BM25 score of every row's document for its query, IDF counted in the collection."""
    index = Bm25Index(given.texts.documents)
    queries = given.texts.queries
    return [
        score
        for qid, some in rows.groupby("qid", sort=False)
        for score in index.scores(queries[str(qid)], list(some["docid"]))
    ]


def quality_by_query(
    texts: Collection, scores: Frame, relevant: int, seed: int
) -> dict[str, Frame]:
    """MRR@10 and nDCG@10 of every query, by column of `scores`; ties are broken by `seed`."""
    names = [name for name in scores.columns if name not in ("qid", "docid", "is_relevant")]
    mixed = scores.sample(frac=1, random_state=seed)
    measures = [RR(rel=relevant) @ 10, nDCG(dcg="exp-log2") @ 10]
    tables = {}
    for name in names:
        place = mixed.groupby("qid")[name].rank(method="first")
        run = Run.of(map(ScoredDoc, mixed["qid"], mixed["docid"], place), name)
        table = evaluate(run, texts, measures).set_axis(MEASURES, axis=1)
        tables[name] = table[table.index.isin(list(run))]
    return tables


def ranking_quality(texts: Collection, scores: Frame, relevant: int, seed: int) -> Frame:
    """MRR@10 and nDCG@10 of every column of `scores` but qid and docid; ties are broken by `seed`.

    Columns: condition, measure, mean, low, high; difference from the first condition with its
    diff_low and diff_high; n queries.
    """
    tables = quality_by_query(texts, scores, relevant, seed)
    first = next(iter(tables.values()))
    rows = []
    for name, table in tables.items():
        for measure in table.columns:
            values, change = (each[measure].to_numpy() for each in (table, table - first))
            low, high = bootstrap_interval(values, seed=seed)
            less, more = bootstrap_interval(change, seed=seed)
            rows.append(
                {
                    "condition": name,
                    "measure": measure,
                    "mean": values.mean(),
                    "low": float(low),
                    "high": float(high),
                    "difference": change.mean(),
                    "diff_low": float(less),
                    "diff_high": float(more),
                    "n": len(values),
                }
            )
    return pd.DataFrame(rows)
