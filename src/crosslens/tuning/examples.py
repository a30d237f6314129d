"""What a reranker is tuned on: judged pairs of training queries, and which queries those are."""

import hashlib
import random
from collections.abc import Sequence
from typing import NamedTuple

from ..corpora.collection import Collection
from ..effectiveness import relevant_from


class Example(NamedTuple):
    """A pair and whether it is relevant: 1 or 0."""

    query: str
    document: str
    label: float


class Preference(NamedTuple):
    """Two pairs of one query, of which the first should score higher."""

    better: Example
    worse: Example


class Split(NamedTuple):
    """Query ids to train on, to select by, and to report: no query is in two."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def split_queries(collection: Collection, *, validation: float = 0.2, test: float = 0.2) -> Split:
    """The queries that have candidates and a relevant document, each in one part by its id.

    A query's part depends on its id alone, so that it is the same in every run.

    Raises:
        ValueError: a part is empty.
    """
    level = relevant_from(collection.qrels)
    judged = {each.query_id for each in collection.qrels if each.relevance >= level}
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for qid in sorted(judged & {qid for qid, docids in collection.candidates.items() if docids}):
        draw = int(hashlib.sha256(qid.encode()).hexdigest()[:8], 16) / 16**8
        parts[2 if draw < test else 1 if draw < test + validation else 0].append(qid)
    split = Split(*map(tuple, parts))
    if not all(split):
        sizes = ", ".join(f"{len(each)} {name}" for name, each in split._asdict().items())
        raise ValueError(
            f"collection {collection.name!r} has too few judged queries with candidates: {sizes}"
        )
    return split


def examples_of(
    collection: Collection, qids: Sequence[str], *, negatives: int = 3, seed: int = 0
) -> list[Example]:
    """Every relevant document of each query, and `negatives` others for each of them.

    The others are candidates that are not relevant, the ones a reranker is asked to tell apart;
    where a query has too few, documents of the collection by chance, as the authors have all.
    """
    level = relevant_from(collection.qrels)
    every = sorted(collection.documents)
    found = []
    for qid in qids:
        chance = random.Random(f"{seed} {qid}")
        labels = collection.labels.get(qid, {})
        relevant = sorted(docid for docid, label in labels.items() if label >= level)
        others = [each for each in collection.candidates.get(qid, ()) if each not in set(relevant)]
        wanted = negatives * len(relevant)
        drawn = chance.sample(others, min(wanted, len(others)))
        while len(drawn) < wanted:
            docid = chance.choice(every)
            if docid not in relevant:
                drawn.append(docid)
        for docids, label in ((relevant, 1.0), (drawn, 0.0)):
            query = collection.queries[qid]
            found += [Example(query, collection.documents[docid], label) for docid in docids]
    return found


def preferences_of(examples: Sequence[Example]) -> list[Preference]:
    """Every relevant example before every other one of its query."""
    by_query: dict[str, list[Example]] = {}
    for each in examples:
        by_query.setdefault(each.query, []).append(each)
    return [
        Preference(better, worse)
        for own in by_query.values()
        for better in own
        for worse in own
        if better.label > worse.label
    ]
