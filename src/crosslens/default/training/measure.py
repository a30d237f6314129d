"""The figures of the model card: the reranker beside BM25 and the bi-encoder it learnt from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from tokenizers import Tokenizer
from transformers import BertForSequenceClassification

from ...corpora.collection import Collection
from ...ranking import rerank
from .collection import part
from .effectiveness import ndcg, ranked
from .heldout import is_test
from .lexical import lexical_index
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
    for name, whole in collections.items():
        test = part(whole, query=lambda qid, n=name: is_test(n, qid))
        if test is None:
            continue
        index = lexical_index(test.documents)
        if name == "cranfield":
            first = {q: index.top(text, DEPTH) for q, text in test.queries.items()}
            first = {q: tuple(d for d, _ in best) for q, best in first.items() if best}
            test = replace(test, candidates=first).graded(lambda label: min(label, 1))
        encoder([*test.queries.values(), *test.documents.values()])  # in large batches
        yield Figures(
            name,
            len(test.queries),
            ndcg(rerank(index, test), test),
            ndcg(rerank(partial(cosines, encoder), test), test),
            ndcg(ranked(model, tokenizer, test), test),
        )


def cosines(encoder: BiEncoder, query: str, documents: Sequence[str]) -> list[float]:
    """The bi-encoder's cosine of every document with the query."""
    return (encoder(documents) @ encoder([query])[0]).tolist()
