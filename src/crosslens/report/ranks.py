"""How a model ranks a collection beside BM25: pair by pair, and by the type of the document."""

from collections.abc import Iterator

import numpy as np
from ir_measures import ScoredDoc

from ..corpora.collection import Collection
from ..model.encoder import CrossEncoder
from ..ranking import Run
from ..signals.bm25 import Bm25Index
from ..stats import bootstrap_interval
from .frames import Frame, pd


SYSTEMS = ("model", "bm25")


def within(collection: Collection, most: int, seed: int) -> Collection:
    """The collection, or a sample of about `most` pairs: every query while ten documents fit."""
    if collection.n_pairs <= most:
        return collection
    n_queries = sum(bool(docids) for docids in collection.candidates.values())
    n_documents = max(most // n_queries, min(10, most))
    return collection.sample(max(most // n_documents, 1), n_documents, seed)


def scored(model: CrossEncoder, index: Bm25Index, collection: Collection, qids: list[str]) -> Frame:
    """One row per candidate of these queries: both scores, label, type, tokens and tokens cut."""

    def rows() -> Iterator[Frame]:
        for qid in qids:
            docids = list(collection.candidates[qid])
            texts = [collection.documents[docid] for docid in docids]
            pairs = model.pair(collection.queries[qid], *texts)
            labels = collection.labels.get(qid, {})
            yield pd.DataFrame(
                {
                    "qid": qid,
                    "docid": docids,
                    "label": pd.array([labels.get(docid) for docid in docids], dtype="Int64"),
                    "type": [collection.types.get(docid, "") for docid in docids],
                    "tokens": pairs.lengths.cpu().numpy(),
                    "cut": pairs.cut.cpu().numpy(),
                    "model": model.score(collection.queries[qid], texts).double().numpy(),
                    "bm25": index.scores(collection.queries[qid], docids),
                }
            )

    return pd.concat(rows(), ignore_index=True)


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
