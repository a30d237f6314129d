"""BM25 as a share of the most it could be, so that queries of any length can be compared."""

from collections.abc import Sequence
from typing import cast

import bm25s
import numpy as np
from jaxtyping import Float


class Lexical:
    """An index of documents by their terms (BM25 with Lucene's IDF, k1 = 0.9, b = 0.4)."""

    def __init__(self, documents: Sequence[str]):
        self.index = bm25s.BM25(k1=0.9, b=0.4)
        self.index.index(_terms(documents), show_progress=False)
        frequency = np.diff(self.index.scores["indptr"])
        self.n = len(documents)
        self.idf = np.log(1 + (self.n - frequency + 0.5) / (frequency + 0.5))

    def share(self, query: str) -> Float[np.ndarray, " doc"]:
        """Every document's BM25 over its least upper bound, the sum of the query terms' IDF.

        From 0 to 1; 0 throughout for a query of unknown terms. For one query, the order is BM25's.
        """
        [asked] = _terms([query])
        known = [term for term in asked if term in self.index.vocab_dict]
        if not known:
            return np.zeros(self.n, dtype=np.float32)
        bound = sum(self.idf[self.index.vocab_dict[term]] for term in known)
        return (self.index.get_scores(known) / bound).astype(np.float32)


def _terms(texts: Sequence[str]) -> list[list[str]]:
    found = bm25s.tokenize(list(texts), stopwords="en", return_ids=False, show_progress=False)
    return cast(list[list[str]], found)
