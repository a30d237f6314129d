"""The figures of the model card: the reranker beside BM25 and the bi-encoder it learnt from."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from tokenizers import Tokenizer
from transformers import BertForSequenceClassification

from .collection import Collection
from .effectiveness import ndcg, rerank, Scores
from .heldout import is_test
from .teacher import BiEncoder, Judgement, Teacher


DEPTH: Final = 100  # of BM25's ranking, where there is no judged pool


class Figures(NamedTuple):
    """nDCG@10 on one test."""

    test: str
    queries: int
    bm25: float
    bi_encoder: float
    reranker: float


def measure(
    model: BertForSequenceClassification,
    tokenizer: Tokenizer,
    collections: Mapping[str, Collection],
    encoder: BiEncoder,
) -> Iterator[Figures]:
    """A row for each test among `collections`: judged pools, or BM25's first hundred (Cranfield).

    BM25 and the bi-encoder rank the same candidates as the reranker.
    """
    for name, collection in collections.items():
        test = collection.only(lambda qid, n=name: is_test(n, qid))
        if not test.queries:
            continue
        judgements = judge(test, encoder)
        if name == "cranfield":
            test = among_first(test, judgements)
        yield Figures(
            name,
            len(test.queries),
            ndcg(by(judgements, test, "bm25"), test.grades),
            ndcg(by(judgements, test, "cosine"), test.grades),
            ndcg(rerank(model, tokenizer, test), test.grades),
        )


def judge(collection: Collection, encoder: BiEncoder) -> dict[str, Judgement]:
    """The teacher's signals for every query of `collection`, over all its documents."""
    teacher = Teacher(encoder, list(collection.documents.values()))
    judged = teacher.judge(list(collection.queries.values()))
    return dict(zip(collection.queries, judged, strict=True))


def among_first(test: Collection, judgements: Mapping[str, Judgement]) -> Collection:
    """`test` with BM25's first documents as candidates and any relevant grade as 1."""
    docids = list(test.documents)
    first = {
        qid: [docids[i] for i in np.argsort(-judgement.bm25, kind="stable")[:DEPTH]]
        for qid, judgement in judgements.items()
    }
    grades = {q: {d: min(g, 1) for d, g in of_query.items()} for q, of_query in test.grades.items()}
    return replace(test, candidates=first, grades=grades)


def by(judgements: Mapping[str, Judgement], test: Collection, signal: str) -> Scores:
    """The score of each candidate by one of the teacher's signals."""
    place = {docid: i for i, docid in enumerate(test.documents)}
    return {
        qid: {
            docid: float(getattr(judgements[qid], signal)[place[docid]])
            for docid in candidates
            if docid in place
        }
        for qid, candidates in test.candidates.items()
    }
