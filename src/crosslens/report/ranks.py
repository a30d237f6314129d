"""How a model ranks a collection beside BM25: pair by pair, and by the type of the document."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from ir_measures import ScoredDoc

from crosslens.circuits.scores import score

from ..corpora.collection import Collection
from ..effectiveness import compare, evaluate
from ..findings import Findings
from ..model.encoder import CrossEncoder
from ..not_measurable import NotMeasurable
from ..ranking import Run
from ..signals.bm25 import Bm25Index
from ..stats import bootstrap_interval
from .frames import Frame, pd, read
from .question import Question, Watch


SYSTEMS: Final = ("model", "bm25")
QUERIES_AT_ONCE: Final = 8  # that an interruption may cost


def rank(
    question: Question,
    model: CrossEncoder,
    collection: Collection,
    findings: Findings,
    watch: Watch,
) -> None:
    """The candidates under the model and under BM25, and how good both rankings are.

    Raises:
        NotMeasurable: no query has a candidate.
    """
    if not collection.n_pairs:
        raise NotMeasurable(
            f"no query of collection {collection.name!r} has a candidate document to rank "
            f"(candidates: {collection.pool}). BM25 finds documents that share a word with the "
            "query; where words are written without spaces it finds none: give the candidates, or "
            "judge at least two documents per query"
        )
    sample = within(collection, question.ranking_pairs, question.seed)
    index = Bm25Index(collection.documents)
    qids = sorted(qid for qid, docids in sample.candidates.items() if docids)
    parts = [
        qids[start : start + QUERIES_AT_ONCE] for start in range(0, len(qids), QUERIES_AT_ONCE)
    ]
    for i, part in enumerate(parts):
        watch("Ranking", i, len(parts))
        findings.chunk("ranking", str(i), lambda part=part: scored(model, index, sample, part))
    watch("Ranking", len(parts), len(parts))
    findings.gather("ranking")
    ranking = read(findings, "ranking")
    findings.note(
        ranked={
            "queries": len(qids),
            "pairs": len(ranking),
            "is_sample": sample is not collection,
            "truncated": int((ranking["cut"] > 0).sum()),
            "pool": sample.pool,
        }
    )
    judge(ranking, sample, qids, findings)
    if (ranking["type"] != "").any():
        findings.table("types", by_type(ranking, seed=question.seed), also_json=True)


def judge(ranking: Frame, collection: Collection, qids: Sequence[str], findings: Findings) -> None:
    """How good both rankings are, where a query is judged."""
    if not any(collection.labels.get(qid) for qid in qids):
        findings.note(not_compared="no query that was ranked is judged")
        return
    runs = run_of(ranking, "model"), run_of(ranking, "bm25")
    values = pd.concat(
        {run.name: evaluate(run, collection) for run in runs}, names=["system"]
    ).rename_axis("measure", axis="columns")
    findings.table("queries", values.stack().rename("value").reset_index())
    try:
        compared: Frame = compare(*runs, collection)
    except NotMeasurable as error:  # one judged query: its values, without a test
        findings.note(not_compared=str(error))
        means = values.groupby("system").mean()
        compared = pd.DataFrame({"a": means.loc["model"], "b": means.loc["bm25"]})
        compared = compared.assign(
            difference=compared["a"] - compared["b"], low=np.nan, high=np.nan, t=np.nan, p=np.nan
        ).assign(n=len(values.loc["model"]))
    named = compared.rename(columns={"a": "model", "b": "bm25"})
    findings.table("comparison", named, also_json=True)


def within(collection: Collection, most: int, seed: int) -> Collection:
    """The collection, or a sample of about `most` pairs: every query while ten documents fit."""
    if collection.n_pairs <= most:
        return collection
    n_queries = sum(bool(docids) for docids in collection.candidates.values())
    n_documents = max(most // n_queries, min(10, most))
    return collection.sample(max(most // n_documents, 1), n_documents, seed)


def scored(model: CrossEncoder, index: Bm25Index, collection: Collection, qids: list[str]) -> Frame:
    """One row per candidate of these queries: both scores, label, type, tokens and tokens cut."""
    rows = [(qid, docid) for qid in qids for docid in collection.candidates[qid]]
    pairs = model.pairs(
        [collection.queries[qid] for qid, _ in rows],
        [collection.documents[docid] for _, docid in rows],
    )
    bm25 = [index.scores(collection.queries[qid], collection.candidates[qid]) for qid in qids]
    labels = [collection.labels.get(qid, {}).get(docid) for qid, docid in rows]
    return pd.DataFrame(
        {
            "qid": [qid for qid, _ in rows],
            "docid": [docid for _, docid in rows],
            "label": pd.array(labels, dtype="Int64"),
            "type": [collection.types.get(docid, "") for _, docid in rows],
            "tokens": pairs.lengths.numpy(force=True),
            "cut": pairs.cut.numpy(force=True),
            "model": score(model, pairs),
            "bm25": np.concatenate(bm25),
        }
    )


def run_of(ranking: Frame, system: str) -> Run:
    """The ranking by one of the two scores."""
    chosen = zip(ranking["qid"], ranking["docid"], ranking[system], strict=True)
    return Run.of((ScoredDoc(*each) for each in chosen), system)


def by_type(ranking: Frame, *, seed: int = 0) -> Frame:
    """What becomes of each type of document, the best grade first: one row per type.

    For the model and for BM25: the mean score with its 95 % bootstrap interval, the mean rank
    within its query (1 is best, ties share) with the same, and the share of documents that
    outrank the reference document of their query, a full answer where there is one.
    """
    typed = ranking[ranking["type"] != ""]
    grade = typed.groupby("type")["label"].mean().astype(float).fillna(0)
    order = sorted(grade.index, key=lambda kind: (-grade[kind], kind != "full", kind))
    reference = order[0]
    ranks = {system: typed.groupby("qid")[system].rank(ascending=False) for system in SYSTEMS}
    best = {
        system: typed[typed["type"] == reference].groupby("qid")[system].max() for system in SYSTEMS
    }
    rows = []
    for kind in order:
        chosen = typed[typed["type"] == kind]
        row: dict[str, object] = {"type": kind, "label": grade[kind], "n": len(chosen)}
        for system in SYSTEMS:
            for what, values in (("score", chosen[system]), ("rank", ranks[system][chosen.index])):
                array = values.to_numpy(dtype=float)
                low, high = bootstrap_interval(array, seed=seed)
                row |= {
                    f"{system}_{what}": array.mean(),
                    f"{system}_{what}_low": float(low),
                    f"{system}_{what}_high": float(high),
                }
            against = chosen["qid"].map(best[system])
            there = against.notna()
            row[f"{system}_above"] = (
                float((chosen[system][there] > against[there]).mean())
                if kind != reference and there.any()
                else np.nan
            )
        rows.append(row | {"reference": reference})
    return pd.DataFrame(rows)
