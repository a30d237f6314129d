"""Replay: a forward pass in pieces, so that every reader can be given a stream of its own.

In a forward pass all readers of a layer read one stream. Here each head reads the queries,
keys and values from three streams of its own, and each MLP from another; what writes are added
up to a stream, and how it is normalised on the way, is for the caller to say, step by step:
what attention adds, `after_attention`, what the MLP adds, `after_mlp`, and so on up.

The modules are the model's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from einops import einsum, rearrange
from jaxtyping import Bool, Float
from torch import nn, Tensor

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
    attended: Bool[Tensor, "pair pos"]

    def is_cls_only(self, layer: int) -> bool:
        """Whether of what this block writes only the row of [CLS] can reach the score."""
        return self.head.reads_cls and layer == len(self.blocks) - 1

    def is_square(self, layer: int) -> bool:
        """Whether this block's attention is computed for all positions at once only."""
        return self.blocks[layer].attn.is_square

    def read(
        self,
        layer: int,
        name: str,
        heads: Sequence[int],
        streams: Float[Tensor, "reader pair pos d_model"],
    ) -> Float[Tensor, "pair pos reader d_head"]:
        """The q, k or v, by `name`, of each of these heads, each from its own stream."""
        block = self.blocks[layer]
        linear = getattr(block.attn, name)
        weight = getattr(block.attn, f"W_{name.upper()}")[heads]
        x = block.before_attention(streams)
        read = einsum(x, weight, "head pair pos model, head model d -> pair pos head d")
        if linear.bias is None:
            return read
        return read + rearrange(linear.bias, "(head d) -> head d", d=read.shape[-1])[heads]

    def attend(
        self,
        layer: int,
        heads: Sequence[int],
        q: Float[Tensor, "pair dst all_heads d_head"],
        k: Float[Tensor, "pair src all_heads d_head"],
        v: Float[Tensor, "pair src all_heads d_head"],
    ) -> Float[Tensor, "pair dst head d_head"]:
        """The z of these heads."""
        attn = self.blocks[layer].attn
        if attn.is_fusible:
            return attn.fused(q[:, :, heads], k[:, :, heads], v[:, :, heads], self.context)
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
        return self.relevance(self.head(stream, self.attended))
