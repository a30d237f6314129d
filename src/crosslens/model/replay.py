"""Replay: a forward pass in pieces, so that every reader can be given a stream of its own.

In a forward pass all readers of a layer read one stream. Here each head reads the queries,
keys and values from three streams of its own, and each MLP from another; what writes are added
up to a stream, and how it is normalised on the way, is for the caller to say, step by step:
what attention adds, `after_attention`, what the MLP adds, `after_mlp`, and so on up.

The modules are the model's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int
from torch import nn, Tensor
from torch.nn import functional as F

from ..hooks import served
from ..pairs import Pairs
from .attention import Context
from .block import Block
from .head import Head, Relevance


@dataclass(frozen=True, eq=False)
class Replay:
    """The pieces of a model's pass over some pairs."""

    blocks: Sequence[Block]
    final_norm: nn.Module | None
    head: Head
    relevance: Relevance
    context: Context
    pairs: Pairs

    def is_scored_row_only(self, layer: int) -> bool:
        """Whether of what this block writes only the scored row can reach the score."""
        return self.head.reads_scored_row and layer == len(self.blocks) - 1

    def is_square(self, layer: int) -> bool:
        """Whether this block's attention is computed for all positions at once only."""
        return self.blocks[layer].attn.is_square

    def read(
        self,
        layer: int,
        name: str,
        heads: Sequence[int],
        streams: Float[Tensor, "stream pair pos d_model"],
        of: Int[Tensor, " head"],
    ) -> Float[Tensor, "pair pos head d_head"]:
        """The q, k or v, by `name`, of each of these heads, from the stream that is its own.

        Where heads share keys and values, each has a copy here.
        """
        attn = self.blocks[layer].attn
        linear = getattr(attn, name)
        weight = rearrange(linear.weight, "(head d) model -> head d model", d=attn.d_head)
        bias = None
        if linear.bias is not None:
            bias = rearrange(linear.bias, "(head d) -> head d", d=attn.d_head)
        read = streams.new_empty(*streams.shape[1:3], len(heads), weight.shape[1])
        chosen = torch.tensor(heads) * len(weight) // attn.n_heads
        for i in of.unique().tolist():  # heads that share a stream share a product
            mine = of == i
            some = chosen[mine]
            x = self.blocks[layer].before_attention(streams[i])
            found = F.linear(
                x,
                rearrange(weight[some], "head d model -> (head d) model"),
                None if bias is None else rearrange(bias[some], "head d -> (head d)"),
            )
            read[:, :, mine] = rearrange(
                found, "pair pos (head d) -> pair pos head d", d=read.shape[3]
            )
        return read

    def attend(
        self,
        layer: int,
        heads: Sequence[int],
        q: Float[Tensor, "pair dst all_heads d_head"],
        k: Float[Tensor, "pair src some_heads d_head"],
        v: Float[Tensor, "pair src some_heads d_head"],
    ) -> Float[Tensor, "pair dst head d_head"]:
        """The z of these heads."""
        attn = self.blocks[layer].attn
        k, v = served(k, attn.n_heads), served(v, attn.n_heads)
        if attn.is_fusible:
            own = {**self.context}
            if (mask := own.get("mask")) is not None and mask.shape[1] > 1:
                own["mask"] = mask[:, heads]  # which holds a bias of each head: T5, MPNet
            return attn.fused(q[:, :, heads], k[:, :, heads], v[:, :, heads], own)
        pattern = attn.scores(q, k, self.context).softmax(dim=-1)  # of all heads or none
        return attn.mix(pattern[:, heads], v[:, :, heads])

    def writes(
        self, layer: int, heads: Sequence[int], z: Float[Tensor, "pair pos head d_head"]
    ) -> Float[Tensor, "head pair pos d_model"]:
        """What each of these heads adds to the stream, without the bias that they share."""
        weight = self.blocks[layer].attn.W_O[heads]
        return einsum(z, weight, "pair pos head d, head d model -> head pair pos model")

    def mlp(
        self, layer: int, stream: Float[Tensor, "pair pos d_model"]
    ) -> Float[Tensor, "pair pos d_model"]:
        """What the MLP adds to the stream it reads."""
        block = self.blocks[layer]
        return block.mlp(block.before_mlp(stream))

    def after_attention(
        self, layer: int, stream: Float[Tensor, "... d_model"]
    ) -> Float[Tensor, "... d_model"]:
        """The stream as it goes on from there: normalised in a post-LN block, else as it is."""
        return self.blocks[layer].after_attention(stream)

    def after_mlp(
        self, layer: int, stream: Float[Tensor, "... d_model"]
    ) -> Float[Tensor, "... d_model"]:
        """The block's output."""
        return self.blocks[layer].after_mlp(stream)

    def score(self, stream: Float[Tensor, "pair row d_model"]) -> Float[Tensor, " pair"]:
        """The relevance score that the head reads from the last block's output."""
        if self.final_norm is not None:
            stream = self.final_norm(stream)
        return self.relevance(self.head(stream, self.pairs.attended, self.pairs.scored))
