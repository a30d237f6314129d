"""The pairs that studies ask about: relevant ones, and candidates as the model ranks them."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from crosslens import Collection, NotMeasurable, Pairs
from crosslens.effectiveness import relevant_from
from crosslens.frames import Frame, pd

from .running import Given


class RelevantPairs(NamedTuple):
    """Queries, each with one document that is judged relevant to it."""

    qids: tuple[str, ...]
    docids: tuple[str, ...]

    def of(self, given: Given, rows: slice) -> Pairs:
        """Some of them, as the model reads them."""
        texts = given.texts
        return given.model.pairs(
            [texts.queries[qid] for qid in self.qids[rows]],
            [texts.documents[docid] for docid in self.docids[rows]],
        )


def relevant_pairs(texts: Collection, n: int, seed: int) -> RelevantPairs:
    """`n` queries at most, in an order drawn by `seed`, each with one relevant document.

    Raises:
        NotMeasurable: no document of the collection is judged relevant.
    """
    least = relevant_from(texts.qrels)
    good = {
        qid: [docid for docid, label in labels.items() if label >= least]
        for qid, labels in texts.labels.items()
    }
    qids = sorted(qid for qid, docids in good.items() if docids)
    if not qids:
        raise NotMeasurable(
            f"collection {texts.name!r} has no document that is judged relevant to a query"
        )
    draw = random.Random(seed)
    draw.shuffle(qids)
    chosen = qids[:n]
    return RelevantPairs(tuple(chosen), tuple(draw.choice(good[qid]) for qid in chosen))


def ranked(given: Given, n: int, depth: int) -> Frame:
    """The candidates of `n` queries with a relevant one, in the order of the model.

    As `rankings`, one below the other.
    """
    qids = drawn_queries(given)[:n]
    parts = {qid: partial(ranking_of, given, qid) for qid in qids}
    found = given.parts("ranking", "ranked", parts, for_all=True)
    return pd.concat([each.head(depth) for each in found.values()], ignore_index=True)


def rankings(given: Given, depth: int | None = None) -> Iterator[Frame]:
    """The candidates of each query with a relevant one, in the order of the model.

    Queries come in an order drawn by the seed and are scored when they are taken. Columns: qid,
    docid, rank (from 1 to `depth`; by default to the last), score and is_relevant.

    Raises:
        NotMeasurable: no query has a relevant document among its candidates.
    """
    qids = drawn_queries(given)
    for done, qid in enumerate(qids, start=1):
        ranking = given.keep_for_all("ranked", qid, partial(ranking_of, given, qid))
        given.watch("ranking", done, len(qids))
        yield ranking.head(len(ranking) if depth is None else depth)


def drawn_queries(given: Given) -> list[str]:
    """The queries with a relevant document among their candidates, in an order drawn by the seed.

    Raises:
        NotMeasurable: there is none.
    """
    texts = given.texts
    least, labels = relevant_from(texts.qrels), texts.labels
    qids = sorted(
        qid
        for qid, docids in texts.candidates.items()
        if any(labels.get(qid, {}).get(docid, 0) >= least for docid in docids)
    )
    if not qids:
        raise NotMeasurable(
            f"no query of collection {texts.name!r} has a relevant document among its candidates"
        )
    random.Random(given.seed).shuffle(qids)
    return qids


def ranking_of(given: Given, qid: str) -> Frame:
    """All candidates of a query in the order of the model."""
    texts = given.texts
    docids, labels = texts.candidates[qid], texts.labels.get(qid, {})
    least = relevant_from(texts.qrels)
    scores = given.model.score(texts.queries[qid], [texts.documents[d] for d in docids])
    scores = scores.double().numpy(force=True)
    order = np.argsort(-scores, kind="stable")
    return pd.DataFrame(
        {
            "qid": qid,
            "docid": [docids[i] for i in order],
            "rank": range(1, len(order) + 1),
            "score": scores[order],
            "is_relevant": [labels.get(docids[i], 0) >= least for i in order],
        }
    )


def pairs_of(given: Given, rows: Frame) -> Pairs:
    """The pairs of a ranking's rows, as the model reads them."""
    texts = given.texts
    return given.model.pairs(
        [texts.queries[qid] for qid in rows["qid"]],
        [texts.documents[docid] for docid in rows["docid"]],
    )


def only(texts: Collection, qids: Iterable[str]) -> Collection:
    """The collection with the candidates and judgements of these queries alone."""
    kept = {qid: texts.candidates[qid] for qid in qids}
    judged = tuple(each for each in texts.qrels if each.query_id in kept)
    return replace(texts, qrels=judged, candidates=kept)


def slices(n: int, size: int) -> Sequence[slice]:
    """`n` items in parts of `size`."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
