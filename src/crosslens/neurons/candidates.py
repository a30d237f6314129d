"""Candidates for rankings without some neurons: relevant documents among those that BM25 finds."""

import random
from dataclasses import replace

from ..corpora.collection import Collection
from ..effectiveness import relevant_from
from ..not_measurable import NotMeasurable
from ..signals.bm25 import Bm25Index


def relevant_and_bm25(
    collection: Collection, others: int = 20, *, relevant: int | None = None, seed: int = 0
) -> Collection:
    """The collection with a query's relevant documents and BM25's best others as candidates.

    As Vast et al. (2024) rank them. Judgements of other documents are left out, so that the best
    ranking of the candidates has a gain of 1; queries without a relevant document, or without
    another one, have none.

    Args:
        others: how many that are not judged relevant, at most.
        relevant: how many relevant ones, drawn by `seed`; by default all.

    Raises:
        NotMeasurable: no query has a document that is judged relevant and another one.
        ValueError: a number below one.
    """
    if others < 1 or (relevant is not None and relevant < 1):
        raise ValueError(
            f"a query needs one relevant document and one other at least, not {relevant} and "
            f"{others}"
        )
    least, index = relevant_from(collection.judgements), Bm25Index(collection.documents)
    chosen: dict[str, tuple[str, ...]] = {}
    for qid, labels in collection.labels.items():
        good = sorted(docid for docid, label in labels.items() if label >= least)
        if good:
            depth = others + len(good)
            found = [docid for docid, _ in index.top(collection.queries[qid], depth)]
            bad = [docid for docid in found if docid not in set(good)][:others]
            random.Random(f"{seed} {qid}").shuffle(good)
            if bad:
                chosen[qid] = (*good[:relevant], *bad)
    if not chosen:
        raise NotMeasurable(
            f"collection {collection.name!r} has no query with a document that is judged relevant "
            "and another that BM25 finds"
        )
    return replace(
        collection,
        candidates=chosen,
        qrels=tuple(
            each for each in collection.qrels if each.doc_id in chosen.get(each.query_id, ())
        ),
        without_text=(),
        pool=f"relevant documents and BM25's best {others} others",
    )
