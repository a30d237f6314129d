"""The important tokens of a pair: its `n` tokens of largest attribution, query and document alike.

Jiang et al. (2021), section 4.2: M, the twenty tokens that pass most through the bottleneck.
"""

import torch
from jaxtyping import Bool
from torch import Tensor

from .word_attribution import WordAttribution


IMPORTANT = 20  # tokens of a pair, as in the paper


def important_tokens(attribution: WordAttribution, n: int = IMPORTANT) -> Bool[Tensor, "pair pos"]:
    """Which tokens are among the `n` largest of their pair; of shorter pairs all words are.

    Raises:
        ValueError: fewer than one token is asked for.
    """
    if n < 1:
        raise ValueError(f"{n} important tokens: ask for at least one")
    chosen = torch.zeros_like(attribution.pairs.token, dtype=torch.bool)
    for i in range(len(chosen)):
        chosen[i, attribution.order(i)[:n]] = True
    return chosen


def shared_types(attribution: WordAttribution, among: Bool[Tensor, "pair pos"]) -> list[float]:
    """Jaccard's coefficient of the query's and the document's token types within `among`.

    |q ∩ d| / |q ∪ d|, pair by pair; nan where `among` holds no token of the pair.
    """
    pairs = attribution.pairs
    found = []
    for i in range(len(pairs)):
        query, document = (
            set(pairs.token[i, pairs.where(part)[i] & among[i]].tolist())
            for part in ("query", "document")
        )
        both = query | document
        found.append(len(query & document) / len(both) if both else float("nan"))
    return found
