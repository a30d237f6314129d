"""Which documents are ranked for each query, where no file says.

The judged ones, if they are a pool: documents that systems found, good and bad. Some collections
list little but the good ones; ranking those among themselves would show nothing, so that there
BM25 finds the candidates among all documents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ir_measures import Qrel

from ..signals.bm25 import Bm25Index
from .collection import Collection


def pooled(collection: Collection) -> Collection:
    """The collection with candidates: its own, or the judged documents, or else BM25's top 100."""
    if collection.candidates:
        return collection
    if is_pool(collection.qrels):
        judged = {qid: tuple(labels) for qid, labels in collection.labels.items()}
        return replace(collection, candidates=judged, pool="judged documents")
    return candidates_by_bm25(collection)


def is_pool(qrels: Sequence[Qrel]) -> bool:
    """Whether the judged documents are worth ranking: on average over one per query is labelled 0.

    One at most is what collections of positives look like; Cranfield, for instance, adds a
    single non-relevant document to each query's list of relevant ones.
    """
    bad = sum(qrel.relevance <= 0 for qrel in qrels)
    return bad > len({qrel.query_id for qrel in qrels})


def candidates_by_bm25(
    collection: Collection, depth: int = 100, *, judged: bool = False
) -> Collection:
    """The collection with BM25's best documents per query as candidates, best first.

    Documents that share no word with the query are not candidates; a query that matches none has
    no candidates and is not ranked.

    Args:
        depth: how many documents per query at most.
        judged: whether judged documents that BM25 missed join at the end.
    """
    if depth < 1:
        raise ValueError(f"candidates need a depth of at least 1, not {depth}")
    index = Bm25Index(collection.documents)
    labels: Mapping[str, Mapping[str, int]] = collection.labels if judged else {}

    def found(qid: str, query: str) -> tuple[str, ...]:
        best = [docid for docid, _ in index.top(query, depth)]
        return tuple(dict.fromkeys([*best, *labels.get(qid, {})]))

    chosen = {qid: found(qid, query) for qid, query in collection.queries.items()}
    return replace(
        collection,
        candidates={qid: docids for qid, docids in chosen.items() if docids},
        pool=f"BM25 top {depth}" + (" and judged documents" if judged else ""),
    )
