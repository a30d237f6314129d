"""BM25 as a share of the most it could be, so that queries of any length can be compared."""

from collections.abc import Mapping
from typing import cast

import bm25s
import numpy as np
from jaxtyping import Float

from ...signals.bm25 import Bm25Index


def lexical_index(documents: Mapping[str, str]) -> Bm25Index:
    """BM25 with the parameters that the teacher was chosen with: k1 0.9, b 0.4, English stop
    words left out."""
    return Bm25Index(documents, k1=0.9, b=0.4, terms=_terms)


def share(index: Bm25Index, query: str) -> Float[np.ndarray, " document"]:
    """Every document's BM25 over its least upper bound, the sum of the query terms' IDF.

    From 0 to 1; 0 throughout for a query of unknown terms. For one query, the order is BM25's.
    """
    known = [term for term in index.terms(query) if term in index.frequencies.df]
    bound = sum(map(index.frequencies.idf, known))
    return (index.scores(query) / (bound or 1)).astype(np.float32)


def _terms(text: str) -> list[str]:
    found = bm25s.tokenize([text], stopwords="en", return_ids=False, show_progress=False)
    return cast(list[list[str]], found)[0]
