"""Semantic BM25: soft term frequency, weighed and summed into a relevance score.

Claim.   Matching heads count soft matches (`matching`); later heads gather the counts among
         the query tokens; heads of a late layer let [CLS] add them up, weighed by rarity.
Test.    Patching the members restores a TFC1 contrast (`crosslens.patching`), other heads do not.
Source.  Lu, Chen & Eickhoff (2025), https://arxiv.org/abs/2502.04645. The matching heads and
         10.1 stand in the authors' code; that 10.4, 10.7 and 10.10 score as well is read off one
         worked example there, and is less sure.
"""

from typing import Final

from crosslens import Circuit, heads

from . import matching


MINILM: Final = "cross-encoder/ms-marco-MiniLM-L-12-v2"

SEMANTIC_BM25: Final = Circuit(
    name="semantic BM25",
    checkpoint=MINILM,
    roles={
        "matching": matching.KNOWN[MINILM],
        "relevance scoring": heads("10.1 10.4 10.7 10.10"),
    },
    source="https://arxiv.org/abs/2502.04645",
)
