"""Attention rollout: what the rows that the score reads take of each token, through all layers.

    rollout_l = (A_l + I) / 2 . rollout_(l - 1),   A_l the mean pattern over heads

(Abnar & Zuidema, 2020, https://arxiv.org/abs/2005.00928). It follows attention alone, not what
heads write: a head that reads and writes nothing counts as much as any other.
"""

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from ...batching.batches import by_like_length
from ...hooks import Hooked
from ...pairs import Pairs, require_rows, scored_row
from .word_attribution import WordAttribution


@torch.no_grad()
def attention_rollout(model: Hooked, pairs: Pairs) -> WordAttribution:
    """The share of the scored row that attention traces back to each token; shares add up to 1.

    Where the score reads the mean of all rows, the mean of their shares.

    Raises:
        NotMeasurable: the score is read from no row.
    """
    token = torch.zeros(pairs.token.shape, device=pairs.device)

    def rolled(rows: list[int], width: int) -> Tensor:
        return _rolled(model, pairs.take(rows, width=width))

    for rows, shares in by_like_length(rolled, pairs):
        token[rows, : shares.shape[1]] = shares.to(token)
    return WordAttribution("attention rollout", pairs, token)


def _rolled(model: Hooked, pairs: Pairs) -> Float[Tensor, "pair pos"]:
    """The row of the rollout that is scored, or the mean of those that are."""
    own = torch.eye(pairs.token.shape[1], device=pairs.device)
    product: list[Tensor] = []

    def roll(pattern: Float[Tensor, "pair head dst src"]) -> None:
        step = (pattern.mean(dim=1) + own.to(pattern)) / 2
        product[:] = [step @ product[0] if product else step]

    with model.tapped([(site, roll) for site in model.sites("pattern")]):
        model(pairs)
    require_rows(pairs.scored)
    if model.reads_scored_row:
        return scored_row(product[0], pairs.scored)[:, 0]
    read = pairs.attended.to(product[0])
    return einsum(product[0], read / read.sum(dim=1, keepdim=True), "pair i j, pair i -> pair j")
