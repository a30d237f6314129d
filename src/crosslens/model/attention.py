"""Attention: every position reads from every other, head by head."""

from collections.abc import Mapping
from typing import Any

import torch
from einops import einsum, rearrange
from jaxtyping import Float, Shaped
from torch import nn, Tensor
from torch.nn import functional as F
from transformer_lens.hook_points import HookPoint

from ..hooks import served


# What attention needs besides the stream, computed once per forward pass by the family:
# the mask, and position tables where a family has them.
Context = Mapping[str, Tensor]


def quiet(*points: HookPoint) -> bool:
    """Whether no hook watches or edits any of these points: TransformerLens' or plain torch's."""
    return not any(
        point._forward_hooks
        or point._forward_pre_hooks
        or point._backward_hooks
        or point._backward_pre_hooks
        for point in points
    )


class Attention(nn.Module):
    """Multi-head attention with a live hook point on each step.

    Adopts the four linear maps of the original; `scores` is what a family overrides when
    its heads see positions in their own way.
    """

    is_fusible = True  # z can be had in one kernel, without the pattern
    is_square = False  # the scores exist for all positions at once only
    is_linear = True  # scores are dot products of q and k, nothing between

    adds_by_head = True  # what it writes is the sum of what its heads write

    # q, k and v are linear maps, or the parts of one that holds all three (ModernBERT).
    def __init__(self, q: Any, k: Any, v: Any, out: nn.Linear, n_heads: int):
        super().__init__()
        self.q, self.k, self.v, self.out = q, k, v, out
        self.n_heads = n_heads
        self.d_head = out.in_features // n_heads
        self.scale = self.d_head**-0.5
        self.hook_q, self.hook_k, self.hook_v = HookPoint(), HookPoint(), HookPoint()
        self.hook_attn_scores, self.hook_pattern = HookPoint(), HookPoint()
        self.hook_z, self.hook_result = HookPoint(), HookPoint()

    def read(
        self,
        dst: Float[Tensor, "pair dst d_model"],
        src: Float[Tensor, "pair src d_model"],
        context: Context,
    ) -> Float[Tensor, "pair dst head d_head"]:
        """What each head of each `dst` position takes from the `src` positions: z, unhooked."""
        inside = (self.hook_k, self.hook_v, self.hook_attn_scores, self.hook_pattern)
        if self.is_linear and dst.shape[1] == 1 and quiet(*inside):
            return self.read_one(dst, src, context)
        return self.attend(*self.project(dst, src), context)

    def attend(
        self,
        q: Float[Tensor, "pair dst head d_head"],
        k: Float[Tensor, "pair src kv_head d_head"],
        v: Float[Tensor, "pair src kv_head d_head"],
        context: Context,
    ) -> Float[Tensor, "pair dst head d_head"]:
        """The same z from queries, keys and values, before their hook points."""
        q, k, v = self.hook_q(q), self.hook_k(k), self.hook_v(v)
        if self.is_fusible and quiet(self.hook_attn_scores, self.hook_pattern):
            return self.fused(q, k, v, context)
        scores = self.hook_attn_scores(self.scores(q, k, context))
        return self.mix(self.hook_pattern(scores.softmax(dim=-1)), v)

    def read_one(self, dst: Tensor, src: Tensor, context: Context) -> Tensor:
        """The same z for one reader, without the keys and values of all that it reads.

        q W_K^T reads the stream as q reads the keys, and what a head takes from the stream
        passes W_V once. The bias of the keys moves all scores of a head alike; that of the
        values is taken once, as the pattern adds up to 1.
        """
        q = self.hook_q(self.split(self.q(dst)))
        asked = einsum(q, self.W_K, "pair dst head d, head model d -> pair head dst model")
        scores = einsum(asked, src, "pair head dst model, pair src model -> pair head dst src")
        pattern = (scores * self.scale + dst_rows(context["mask"], 1, context)).softmax(dim=-1)
        taken = einsum(pattern, src, "pair head dst src, pair src model -> pair head dst model")
        z = einsum(taken, self.W_V, "pair head dst model, head model d -> pair dst head d")
        return (
            z
            if self.v.bias is None
            else z + rearrange(self.v.bias, "(head d) -> head d", head=self.n_heads)
        )

    def mix(
        self,
        pattern: Float[Tensor, "pair head dst src"],
        v: Float[Tensor, "pair src kv_head d_head"],
    ) -> Float[Tensor, "pair dst head d_head"]:
        """The mean of the values under the pattern: z."""
        v = served(v, pattern.shape[1])
        return einsum(pattern, v, "pair head dst src, pair src head d -> pair dst head d")

    def write(self, z: Float[Tensor, "pair pos head d_head"]) -> Float[Tensor, "pair pos d_model"]:
        """What the heads together add to the stream: W_O and its bias."""
        if quiet(self.hook_result):
            return self.out(rearrange(z, "pair pos head d -> pair pos (head d)"))
        result = einsum(z, self.W_O, "pair pos head d, head d model -> pair pos head model")
        written = self.hook_result(result).sum(dim=2)
        return written if self.out.bias is None else written + self.out.bias

    def project(
        self, dst: Tensor, src: Tensor
    ) -> tuple[
        Float[Tensor, "pair dst head d_head"],
        Float[Tensor, "pair src kv_head d_head"],
        Float[Tensor, "pair src kv_head d_head"],
    ]:
        return self.split(self.q(dst)), self.split(self.k(src)), self.split(self.v(src))

    def split(self, x: Tensor) -> Float[Tensor, "pair pos some_head d_head"]:
        return rearrange(x, "pair pos (head d) -> pair pos head d", d=self.d_head)

    def scores(self, q: Tensor, k: Tensor, context: Context) -> Float[Tensor, "pair head dst src"]:
        """Scaled dot products; the mask is added as the smallest finite number."""
        return self.products(q, k) + dst_rows(context["mask"], q.shape[1], context)

    def products(self, q: Tensor, k: Tensor) -> Float[Tensor, "pair head dst src"]:
        """Scaled dot products of queries and keys, nothing masked."""
        k = served(k, q.shape[2])
        q, k = rearrange(q, "p i h d -> p h i d"), rearrange(k, "p j h d -> p h d j")
        return torch.matmul(q, k) * self.scale

    def fused(self, q: Tensor, k: Tensor, v: Tensor, context: Context) -> Tensor:
        """The same z in one kernel that never holds the pattern."""
        k, v = served(k, q.shape[2]), served(v, q.shape[2])
        q, k, v = (rearrange(x, "p i h d -> p h i d") for x in (q, k, v))
        mask = dst_rows(context["mask"], q.shape[2], context)
        z = F.scaled_dot_product_attention(q, k, v, mask, scale=self.scale)
        return rearrange(z, "p h i d -> p i h d")

    @property
    def W_Q(self) -> Float[Tensor, "head d_model d_head"]:
        return rearrange(self.q.weight, "(head d) model -> head model d", head=self.n_heads)

    @property
    def W_K(self) -> Float[Tensor, "kv_head d_model d_head"]:
        return rearrange(self.k.weight, "(head d) model -> head model d", d=self.d_head)

    @property
    def W_V(self) -> Float[Tensor, "kv_head d_model d_head"]:
        return rearrange(self.v.weight, "(head d) model -> head model d", d=self.d_head)

    @property
    def n_kv_heads(self) -> int:
        """How many heads have keys and values: fewer where several queries share them."""
        return self.k.weight.shape[0] // self.d_head

    @property
    def W_O(self) -> Float[Tensor, "head d_head d_model"]:
        return rearrange(self.out.weight, "model (head d) -> head d model", head=self.n_heads)


def dst_rows(
    table: Shaped[Tensor, "any ... dst last"], n: int, context: Context
) -> Shaped[Tensor, "pair ... row last"]:
    """The rows of a mask or a table of positions that serve `n` readers.

    All of them, or one row that serves every reader; those from the `first` row on that is
    computed; or, where there is one reader, the scored row. The axis before `dst` that tells pairs
    apart is the first; a table that all pairs share has one there.
    """
    if table.shape[-2] in (1, n):
        return table
    if n == table.shape[-2] - first_row(context):
        return table[..., -n:, :]
    if n != 1:
        raise ValueError(f"{n} readers of {table.shape[-2]} positions: all may read, or one row")
    scored = context["scored"]
    shared = table.expand(len(scored), *table.shape[1:])
    return shared[torch.arange(len(scored), device=table.device), ..., scored, :].unsqueeze(-2)


def first_row(context: Context) -> int:
    """The first position that a pass computes: behind others, in a causal model, or 0."""
    return int(context["first"]) if "first" in context else 0


def padding_mask(attended: Tensor, dtype: torch.dtype) -> Float[Tensor, "pair 1 1 src"]:
    """Added to attention scores: 0 where a token stands, the smallest number at padding."""
    mask = torch.zeros(attended.shape, dtype=dtype, device=attended.device)
    mask = mask.masked_fill(~attended, torch.finfo(dtype).min)
    return rearrange(mask, "pair src -> pair 1 1 src")
