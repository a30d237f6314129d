"""How good a ranking is, by ir-measures, and how two rankings differ."""

import math
from collections.abc import Iterable, Sequence

import ir_measures
import numpy as np
import pandas as pd
from ir_measures import Measure, nDCG, Qrel, RR, ScoredDoc

from .corpora.collection import Collection
from .not_measurable import NotMeasurable
from .ranking import Run
from .stats import bootstrap_interval, paired_test


# trec_eval counts the documents of every gain up to the largest: 2^20 of them are 8 MiB, 2^30
# are 8 GiB and a minute.
LARGEST_EXPONENT = 20
LARGEST_LABEL = 1_000  # trec_eval reserves memory for every label up to the largest

__all__ = ["agreement", "relevant_from", "standard_measures"]


def relevant_from(qrels: Iterable[Qrel]) -> int:
    """The lowest label that binary measures take for relevant.

    2 where labels reach 2, as TREC Deep Learning grades passages (1 is "related"); else 1.
    """
    return 2 if max((qrel.relevance for qrel in qrels), default=0) >= 2 else 1


def standard_measures(qrels: Iterable[Qrel], *, relevant: int | None = None) -> list[Measure]:
    """nDCG@10 with exponential gains 2^label − 1, and RR@10.

    Args:
        relevant: the lowest label RR takes for relevant; see `relevant_from`.
    """
    level = relevant_from(qrels) if relevant is None else relevant
    return [nDCG(dcg="exp-log2") @ 10, RR(rel=level) @ 10]


def evaluate(
    run: Run, collection: Collection, measures: Sequence[Measure] | None = None
) -> pd.DataFrame:
    """What each measure gives each judged query: rows by query id, columns by measure.

    A judged query that the run lacks has 0, as TREC counts it.

    Args:
        measures: any of ir-measures; `standard_measures` unless given.

    Raises:
        NotMeasurable: the collection has no judgements, or none for a query of the run.
    """
    judgements = collection.judgements
    if not {qrel.query_id for qrel in judgements} & run.keys():
        raise NotMeasurable(
            f"nothing to evaluate: collection {collection.name!r} judges no query of {run}"
        )
    return by_query(run, judgements, measures or standard_measures(judgements))


def by_query(run: Run, judgements: Iterable[Qrel], measures: Sequence[Measure]) -> pd.DataFrame:
    """As `evaluate`, by judgements: of a part of a collection's queries, for one."""
    judgements = list(judgements)
    asked = {computable(each, judgements): str(each) for each in measures}
    # by rank, not by score: trec_eval rounds scores to single precision and breaks ties its own
    # way, and would judge another ranking than the one we show
    ranked = [
        ScoredDoc(qid, each.doc_id, -rank)
        for qid, docs in run.items()
        for rank, each in enumerate(docs)
    ]
    found = ir_measures.iter_calc(list(asked), judgements, ranked)
    cells = {(each.query_id, asked[each.measure]): each.value for each in found}
    qids = list(dict.fromkeys(qrel.query_id for qrel in judgements))
    columns = [str(each) for each in measures]
    # a provider may leave out what the run lacks
    rows = [[float(cells.get((qid, column), 0)) for column in columns] for qid in qids]
    return pd.DataFrame(rows, index=pd.Index(qids, name="qid"), columns=columns)


def computable(measure: Measure, qrels: Iterable[Qrel]) -> Measure:
    """The measure itself, or nDCG's exponential gains spelt out.

    ir-measures leaves `nDCG(dcg="exp-log2")` to a Perl script that takes only numeric query ids;
    giving trec_eval the gains 2^label − 1 computes the same without it.

    Raises:
        ValueError: no library at hand computes the measure, or labels are too large for it.
    """
    largest = max((qrel.relevance for qrel in qrels), default=0)
    if largest > LARGEST_LABEL:
        raise ValueError(
            f"the largest label is {largest}; measures are computed for labels up to "
            f"{LARGEST_LABEL}. Grade anew with collection.graded(...)"
        )
    if measure.NAME != "nDCG" or measure.params.get("dcg") != "exp-log2":
        check_provider(measure)
        return measure
    if largest > LARGEST_EXPONENT:
        raise ValueError(
            f"{measure}: the gain 2^{largest} - 1 of the largest label is more than trec_eval can "
            f"count (labels up to {LARGEST_EXPONENT}). Grade anew with collection.graded(...), or "
            "take nDCG with linear gains, ir_measures.nDCG"
        )
    gains = {qrel.relevance: 2 ** max(qrel.relevance, 0) - 1 for qrel in qrels}
    spelt = {key: value for key, value in measure.params.items() if key != "dcg"}
    return nDCG(**spelt, gains=gains)


def check_provider(measure: Measure) -> None:
    """Refuses a measure that no library at hand computes.

    Raises:
        ValueError: names the measure, and the one that would be left to a Perl script.
    """
    for provider in ir_measures.DefaultPipeline.providers:
        if provider.is_available() and provider.supports(measure):
            if provider.NAME == "gdeval":
                break  # a Perl script that takes only numeric query ids
            return
    raise ValueError(
        f"{measure} cannot be computed here: no library at hand computes it; take another measure, "
        "such as nDCG@10 or AP of ir_measures"
    )


def compare(
    a: Run, b: Run, collection: Collection, measures: Sequence[Measure] | None = None
) -> pd.DataFrame:
    """How `a` and `b` differ over the judged queries: one row per measure.

    Columns: the means of both, their difference with its 95 % bootstrap interval, and the paired
    t-test (t, p, two-sided) over n queries.
    """
    return differences(*(evaluate(run, collection, measures) for run in (a, b)))


def differences(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """As `compare`, of what `evaluate` gave of two runs: one row per measure."""

    def row(column: str) -> dict[str, float]:
        first, second = one[column].to_numpy(), other[column].to_numpy()
        test = paired_test(first, second)
        low, high = bootstrap_interval(first - second)
        return {
            "a": float(first.mean()),
            "b": float(second.mean()),
            "difference": test.difference,
            "low": float(low),
            "high": float(high),
            "t": test.statistic,
            "p": test.p_value,
            "n": test.n,
        }

    rows = {column: row(column) for column in one.columns}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("measure")


def agreement(a: Run, b: Run) -> pd.DataFrame:
    """How alike two rankings of the same documents are, per query.

    Columns: `documents` that both rank, `flips` (pairs of them in opposite order), Kendall's `tau`
    (1 the same order, −1 the reverse, by ranks), and `top10`, the shared share of the first ten.

    Raises:
        ValueError: the runs share no query, or no two documents of one.
    """
    rows = {}
    for qid in (qid for qid in a if qid in b):
        rank = {each.doc_id: place for place, each in enumerate(b[qid])}
        shared = [rank[each.doc_id] for each in a[qid] if each.doc_id in rank]
        if len(shared) < 2:
            raise ValueError(
                f"query {qid!r}: {a} and {b} share {len(shared)} documents; an order needs two"
            )
        places = np.array(shared)
        flips = int(np.triu(places[:, None] > places).sum())
        first = min(10, len(a[qid]), len(b[qid]))
        heads = ({each.doc_id for each in run[qid][:first]} for run in (a, b))
        rows[qid] = {
            "documents": len(shared),
            "flips": flips,
            "tau": 1 - 2 * flips / math.comb(len(shared), 2),  # ranks have no ties
            "top10": len(set.intersection(*heads)) / first,
        }
    if not rows:
        raise ValueError(f"{a} and {b} share no query")
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("qid")
