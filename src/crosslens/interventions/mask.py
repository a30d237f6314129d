"""Cutting the lines along which tokens read each other.

Zhan et al. (2020) have two ways to keep token i from reading token j, M[i, j] = 1:

    token mask      softmax(scores - inf M) v      eq. 2   the others get j's share
    attention mask  (1 - M) * softmax(scores) v    eq. 3   j's share is lost

Both take a rectangle of the `dst` tokens that read and the `src` tokens that are read, by the
names of segments or roles ("document", or several: ("cls", "query")), any set of cells
`blocked`, or, given both, the cells that are in both. What is left out means all tokens. They
cut one layer, in every head or in one; more layers and heads are more hooks.

    [attention_mask(i, dst=("document", "sep2"), src=("cls", "query", "sep1")) for i in range(6)]
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from ..hooks import Hook
from ..pairs import Pairs
from ..sites import Names, Site, Unit


def token_mask(
    layer: int,
    *,
    dst: Names | None = None,
    src: Names | None = None,
    blocked: Bool[Tensor, "pair dst src"] | None = None,
    head: int | None = None,
) -> Hook:
    """Hide the `src` tokens from the `dst` tokens, which read the others instead (eq. 2).

    A token left with nothing to read is a `ValueError` when the hook fires.
    """
    unit = _unit("attn_scores", layer, dst, src, head)

    def hide(scores: Tensor, pairs: Pairs) -> Tensor:
        lowest = torch.finfo(scores.dtype).min
        masked = scores.masked_fill(_cells(unit, blocked, scores, pairs), lowest)
        _refuse_silence(unit, masked, pairs)
        return masked

    return Hook(unit, hide, sees_pairs=True)


def attention_mask(
    layer: int,
    *,
    dst: Names | None = None,
    src: Names | None = None,
    blocked: Bool[Tensor, "pair dst src"] | None = None,
    head: int | None = None,
) -> Hook:
    """Drop what the `dst` tokens read from the `src` tokens; nothing takes its place (eq. 3).

    How much is dropped still depends on the `src` tokens, which share the softmax with the
    others: only `token_mask` makes a reader fully independent of what it may not read.
    """
    unit = _unit("pattern", layer, dst, src, head)

    def drop(pattern: Tensor, pairs: Pairs) -> Tensor:
        return pattern.masked_fill(_cells(unit, blocked, pattern, pairs), 0.0)

    return Hook(unit, drop, sees_pairs=True)


def _unit(site: str, layer: int, dst: Names | None, src: Names | None, head: int | None) -> Unit:
    chosen = {"dst": dst, "src": src, "head": head}
    return Site(site, layer).at(**{axis: c for axis, c in chosen.items() if c is not None})


def _cells(
    unit: Unit, blocked: Tensor | None, carried: Float[Tensor, "pair ..."], pairs: Pairs
) -> Bool[Tensor, "pair ..."]:
    """M, shaped to broadcast over what the unit carries."""
    named = pairs.mask(unit.left, unit.named)
    if blocked is None:
        return named
    expected = (carried.shape[0], *carried.shape[-2:])
    if tuple(blocked.shape) != expected:
        raise ValueError(
            f"{unit} has {expected} pairs, dst and src tokens, but `blocked` is "
            f"{tuple(blocked.shape)}: build it for the pairs that run, as padded"
        )
    return named & _per_head(unit, blocked.to(carried.device))


def _refuse_silence(unit: Unit, scores: Float[Tensor, "pair ..."], pairs: Pairs) -> None:
    """An error for the first token, not padding, all of whose scores are masked."""
    # the model's own masks (padding, locality) are the smallest number plus a score
    readable = (scores > torch.finfo(scores.dtype).min / 2).any(dim=-1)
    if "head" in unit.left:
        readable = readable.all(dim=1)
    silent = (~readable & pairs.attended).nonzero()
    if len(silent):
        i, place = silent[0].tolist()
        raise ValueError(
            f"{unit} would leave token {place} ({pairs.words(i)[place]!r}) of pair {i}, and "
            f"{len(silent) - 1} more, with nothing to read; leave each at least one token, or "
            "use attention_mask, under which a token may read nothing"
        )


def _per_head(unit: Unit, cells: Bool[Tensor, "pair dst src"]) -> Bool[Tensor, "pair ..."]:
    return rearrange(cells, "pair dst src -> pair 1 dst src") if "head" in unit.left else cells
