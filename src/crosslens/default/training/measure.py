"""The figures of the model card: the reranker beside BM25 and the bi-encoder it learnt from."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float
from tokenizers import Tokenizer
from transformers import BertForSequenceClassification

from .collection import Collection
from .effectiveness import ndcg, rerank, Scores
from .heldout import is_test
from .lexical import Lexical
from .teacher import BiEncoder


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
        lexical, semantic = by_terms(test), by_meaning(test, encoder)
        if name == "cranfield":
            test = among_first(test, lexical)
        yield Figures(
            name,
            len(test.queries),
            ndcg(of_candidates(lexical, test), test.grades),
            ndcg(of_candidates(semantic, test), test.grades),
            ndcg(rerank(model, tokenizer, test), test.grades),
        )


def by_terms(test: Collection) -> Scores:
    """BM25 of every document for every query, as a share of its bound."""
    lexical = Lexical(list(test.documents.values()))
    return {q: named(test, lexical.share(text)) for q, text in test.queries.items()}


def by_meaning(test: Collection, encoder: BiEncoder) -> Scores:
    """The bi-encoder's cosine of every document with every query."""
    cosines = encoder(list(test.queries.values())) @ encoder(list(test.documents.values())).T
    return {q: named(test, row) for q, row in zip(test.queries, cosines, strict=True)}


def named(test: Collection, scores: Float[np.ndarray, " doc"]) -> dict[str, float]:
    return dict(zip(test.documents, scores.tolist(), strict=True))


def among_first(test: Collection, scores: Scores) -> Collection:
    """`test` with the first documents by `scores` as candidates, any relevant grade as 1."""
    first = {q: sorted(of, key=lambda d, of=of: -of[d])[:DEPTH] for q, of in scores.items()}
    grades = {q: {d: min(g, 1) for d, g in of.items()} for q, of in test.grades.items()}
    return replace(test, candidates=first, grades=grades)


def of_candidates(scores: Scores, test: Collection) -> Scores:
    return {
        q: {d: scores[q][d] for d in candidates if d in scores[q]}
        for q, candidates in test.candidates.items()
    }
