"""A small collection in words that the tiny tokenizers know, and BM25 over its tokens."""

from collections.abc import Callable

import pytest
import torch

from crosslens.corpora.collection import Collection
from crosslens.pairs import Pairs
from crosslens.signals.bm25 import bm25
from crosslens.signals.frequency import Frequencies


QUERIES = {
    "q1": "why do cats purr",
    "q2": "what is the capital of france",
    "q3": "how long a python is",  # holds the first filler
    "q4": "bananas rich in potassium",
}
DOCUMENTS = {
    "q1": (
        "Cats purr when they rest. The dog bark in town. They sleep.",
        "the engine of a car, and the cats of the town, purr. Long sleep",
        "Python, dog, cats: they bark and cats sleep, cats rest and cats purr, cats, cats.",
    ),
    "q2": (
        "Paris is the largest city. It is the capital, and france is large.",
        "A large city in france. Capital of what? The river is in paris.",
        "Dog and cats rest in town.",
    ),
    "q3": (
        "Python snake is large, and it is long. Dog sleep in town.",
        "How large is the snake? It is a long river snake.",
        "Bananas are rich and python is a language. They rest when cats sleep long.",
    ),
    "q4": (
        "Bananas are rich and they are potassium. Cats sleep when dog rest.",
        "Potassium. They purr and they bark and rest.",
        "The capital city are rich in bananas and cars.",
    ),
}


@pytest.fixture(scope="session")
def cats() -> Collection:
    """Four queries with three candidates each."""
    documents = {
        f"{qid}-{i}": text for qid, some in DOCUMENTS.items() for i, text in enumerate(some)
    }
    return Collection(
        name="cats",
        queries=QUERIES,
        documents=documents,
        candidates={qid: tuple(d for d in documents if d.startswith(qid)) for qid in QUERIES},
    )


@pytest.fixture
def by_tokens(cats: Collection) -> Callable[..., Callable[[Pairs], torch.Tensor]]:
    """BM25 as a model might compute it: its terms are tokens."""

    def scorer(model) -> Callable[[Pairs], torch.Tensor]:
        texts = list(cats.documents.values())
        whole = model.pairs(["why"] * len(texts), texts)
        inside = whole.where("document")
        seen = [whole.token[i, inside[i]].tolist() for i in range(len(whole))]
        frequencies = Frequencies.of(seen)

        def score(pairs: Pairs) -> torch.Tensor:
            query, document = pairs.where("query"), pairs.where("document")
            return torch.tensor(
                [
                    bm25(
                        pairs.token[i, query[i]].tolist(),
                        pairs.token[i, document[i]].tolist(),
                        frequencies,
                    )
                    for i in range(len(pairs))
                ],
                dtype=torch.float64,
            )

        return score

    return scorer
