"""Truncation: pairs that lose their least important tokens.

How many tokens the first of a ranking can lose before it is first no more, in ascending order of
attribution, while all other documents keep their scores (Jiang et al., 2021, section 4.3); and
pairs cut to their most important share (appendix G). Attributions are not computed anew.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...batching.batches import scores_of
from ...hooks import Hooked
from ...pairs import Pairs
from .removal import without
from .word_attribution import WordAttribution


AT_ONCE = 16  # rows, each with one token less than the one before
ROUNDED = 1_000  # times eps: by how much a score is another in another batch, at most


class Truncation(NamedTuple):
    """Tokens that can go, and of how many: query and document, or the document alone."""

    removable: Int[Tensor, " pair"]
    of: Int[Tensor, " pair"]

    @property
    def share(self) -> Float[Tensor, " pair"]:
        """The share of the tokens that can go."""
        return self.removable / self.of


def truncation(
    model: Hooked,
    attribution: WordAttribution,
    rivals: Float[Tensor, " pair"],
    *,
    parts: Sequence[str] = ("query", "document"),
) -> Truncation:
    """How many tokens of each pair can go, the least important first, before it falls behind.

    `rivals` holds the score of each pair's next document. A pair has fallen behind at the first
    number of deleted tokens that leaves its score below its rival's; a later return does not
    count. `parts` names the segments that lose tokens: ("document",) spares the query.

    Raises:
        ValueError: a pair scores below its rival from the beginning.
    """
    pairs = attribution.pairs
    scores, rivals = scores_of(model, pairs), rivals.to(pairs.device)
    rounding = ROUNDED * torch.finfo(scores.dtype).eps * scores.abs().clamp(min=1)
    behind = (scores < rivals - rounding).nonzero().flatten().tolist()
    if behind:
        raise ValueError(f"pairs {behind} score below their rivals: they are not the first")
    among = pairs.where(*parts)
    orders = [attribution.order(i, among)[::-1] for i in range(len(pairs))]
    removable = [
        _removable(model, pairs.take([i]), order, torch.minimum(rivals[i], scores[i]))
        for i, order in enumerate(orders)
    ]
    return Truncation(torch.tensor(removable), torch.tensor([len(order) for order in orders]))


def _removable(model: Hooked, pair: Pairs, order: Sequence[int], rival: Tensor) -> int:
    """How many of the tokens in `order` can go; none is tried behind the first that cannot."""
    for start in range(0, len(order), AT_ONCE):
        counts = range(start + 1, min(start + AT_ONCE, len(order)) + 1)
        rows = pair.take([0] * len(counts))
        gone = torch.zeros_like(rows.token, dtype=torch.bool)
        for row, n in enumerate(counts):
            gone[row, order[:n]] = True
        left = scores_of(model, without(rows, gone))
        lost = (left < rival.to(left)).nonzero().flatten()
        if len(lost):
            return start + int(lost[0])
    return len(order)


def cut_to(
    attribution: WordAttribution, share: float, *, parts: Sequence[str] = ("query", "document")
) -> Pairs:
    """The pairs with the `share` of the tokens of `parts` that has the largest attribution.

    Every part that `parts` does not name stays whole. At least one token stays in each pair.

    Raises:
        ValueError: a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share={share}: it lies above 0 and not above 1")
    pairs = attribution.pairs
    among = pairs.where(*parts)
    removed = torch.zeros_like(among)
    for i in range(len(pairs)):
        order = attribution.order(i, among)
        removed[i, order[max(1, round(share * len(order))) :]] = True
    return without(pairs, removed)
