"""Soft term frequency: how much each query token reads of the document, head by head.

    MS_h(i, d) = sum over the document's tokens j of  pattern_h[i, j]

In a decoder that is given the query first, the document's tokens read the query: MS_h(i, d) is
then the sum of pattern_h[j, i], how often a document token is spent on the query token.

Not only copies of the query token count: a head that reads what is close in meaning counts
soft matches (Lu et al., 2025, section 4.2).
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...arrays import array
from ...batching.batches import by_length
from ...batching.in_batches import in_batches
from ...contrasts.contrast import Contrast
from ...hooks import document_reads, Hooked
from ...pairs import Pairs
from ...sites import Names


@torch.no_grad()
def soft_tf(
    model: Hooked, pairs: Pairs, *, src: Names = "document"
) -> Float[Tensor, "layer head pair pos"]:
    """MS_h of every head at every query token, a share of its attention, 0 to 1; else 0.

    In a decoder with the query first a sum of such shares, 0 to the number of document tokens.

    `src` is what is read: ("document", "sep2") also counts the last [SEP], as the authors'
    code does.

    Pairs of like length run together, and fewer where memory runs out.
    """
    return in_batches(
        model, pairs, "layer head pair pos", lambda some, _: _in_one_pass(model, some, src)
    )


def _in_one_pass(model: Hooked, pairs: Pairs, src: Names) -> Float[Tensor, "layer head pair pos"]:
    """MS_h of pairs that run together."""
    read = pairs.where(*([src] if isinstance(src, str) else src))
    query = pairs.where("query")
    total: list[Tensor] = []
    is_read = document_reads(model, pairs)

    def count(pattern: Tensor) -> None:
        pattern = pattern.mT if is_read else pattern
        total.append((pattern * read[:, None, None, :]).sum(dim=-1) * query[:, None, :])

    # summed as it passes: the patterns of all layers together may not fit into memory
    with model.tapped([(site, count) for site in model.sites("pattern")]):
        model(pairs)
    return torch.stack(total).transpose(1, 2)


@torch.no_grad()
def soft_tf_of_term(
    model: Hooked, pairs: Pairs, *, src: Names = "document", at_once: int = 16
) -> Float[np.ndarray, "head pair"]:
    """MS_h of the selected query term (Q+), the mean over its tokens; of every head in order.

    A share of attention, 0 to 1.

    Pairs of like length run together, `at_once` of them, or fewer where memory runs out.

    Raises:
        ValueError: a pair has no selected query term; contrasts mark theirs.
    """
    term = pairs.where("Q+")
    if missing := (~term.any(dim=1)).nonzero().flatten().tolist():
        raise ValueError(f"pairs {missing} have no selected query term (Q+): see `contrast`")
    found = np.empty((len(model.heads()), len(pairs)))

    def mean(rows: list[int]) -> Tensor:
        some = pairs.take(rows)
        count = _in_one_pass(model, some, src).flatten(0, 1).double()
        return (count * some.where("Q+")).sum(dim=2) / some.where("Q+").sum(dim=1)

    for rows, means in by_length(mean, pairs, at_once):
        found[:, rows] = array(means)
    return found


def soft_tf_gain(
    model: Hooked, contrast: Contrast, *, at_once: int = 16
) -> Float[np.ndarray, "head pair"]:
    """How much MS_h of the selected query term, a share of attention, rises with the signal.

    With one more exact match (TFC1) by more than 0 for a matching head, and by less with one
    more soft match (STMC1).
    """
    base, more = (
        soft_tf_of_term(model, side, at_once=at_once) for side in (contrast.base, contrast.more)
    )
    return more - base
