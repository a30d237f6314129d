"""ModernBERT: pre-LN blocks, rotary positions, a gated MLP, and local attention in most layers."""

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import nn, Tensor
from torch.nn import functional as F

from ...pairs import Pairs
from ..attention import Attention, Context, dst_rows, padding_mask
from ..block import GatedMLP, PreNormBlock
from ..embedding import Embedding
from ..head import Head
from .parts import Parts


def parts(model: Any) -> Parts:
    """The modules of a `ModernBertForSequenceClassification`."""
    modern, c = model.model, model.config
    return Parts(
        embedding=Embedding(modern.embeddings.tok_embeddings, modern.embeddings.norm),
        blocks=[
            PreNormBlock(
                RotaryAttention(
                    Third(layer.attn.Wqkv, 0),
                    Third(layer.attn.Wqkv, 1),
                    Third(layer.attn.Wqkv, 2),
                    layer.attn.Wo,
                    c.num_attention_heads,
                    layer.attention_type,
                ),
                GatedMLP(layer.mlp.Wi, layer.mlp.act, layer.mlp.Wo),
                layer.attn_norm,
                layer.mlp_norm,
            )
            for layer in modern.layers
        ],
        head=Head(model.head, model.classifier, reads_scored_row=c.classifier_pooling == "cls"),
        n_positions=c.max_position_embeddings,
        context=RotaryContext(modern.rotary_emb, c.layer_types, c.sliding_window),
        final_norm=modern.final_norm,
    )


class RotaryContext(nn.Module):
    """A mask and a table of rotations for each kind of layer: local and global."""

    def __init__(self, rotary: nn.Module, kinds: Sequence[str], reach: int):
        super().__init__()
        self.rotary, self.kinds, self.reach = rotary, sorted(set(kinds)), reach

    def forward(self, pairs: Pairs, resid: Tensor) -> Context:
        everywhere = padding_mask(pairs.attended, resid.dtype)
        place = torch.arange(pairs.token.shape[1], device=pairs.device)
        far = (place[:, None] - place[None, :]).abs() > self.reach
        tables = {
            "mask full_attention": everywhere,
            "mask sliding_attention": everywhere.masked_fill(
                far[None, None], torch.finfo(resid.dtype).min
            ),
        }
        for kind in self.kinds:
            cos, sin = self.rotary(resid, place[None], kind)
            tables |= {f"cos {kind}": cos, f"sin {kind}": sin}
        return tables


class Third(nn.Module):
    """One of the three maps that a fused linear map holds."""

    def __init__(self, whole: nn.Linear, part: int):
        super().__init__()
        self.whole, self.part = whole, part

    @property
    def weight(self) -> Float[Tensor, "out d_model"]:
        return self.whole.weight.chunk(3)[self.part]

    @property
    def bias(self) -> Float[Tensor, " out"] | None:
        return None if self.whole.bias is None else self.whole.bias.chunk(3)[self.part]

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class RotaryAttention(Attention):
    """Positions turn the queries and keys; local and global layers have their own mask."""

    is_linear = False

    def __init__(self, q: Any, k: Any, v: Any, out: nn.Linear, n_heads: int, kind: str):
        super().__init__(q, k, v, out, n_heads)
        self.kind = kind

    def scores(self, q: Tensor, k: Tensor, context: Context) -> Float[Tensor, "pair head dst src"]:
        return super().scores(*self.turned(q, k, context), self.masked(context))

    def fused(self, q: Tensor, k: Tensor, v: Tensor, context: Context) -> Tensor:
        return super().fused(*self.turned(q, k, context), v, self.masked(context))

    def masked(self, context: Context) -> Context:
        return {**context, "mask": context[f"mask {self.kind}"]}

    def turned(self, q: Tensor, k: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """Rotary positions (Su et al., 2021): pairs of coordinates turned by their place."""

        def turn(x: Tensor) -> Tensor:
            cos, sin = (
                rearrange(
                    dst_rows(context[f"{name} {self.kind}"], x.shape[1], context),
                    "pair pos d -> pair pos 1 d",
                )
                for name in ("cos", "sin")
            )
            first, second = x.chunk(2, dim=-1)
            turned = torch.cat((-second, first), dim=-1)
            return x * cos + turned * sin

        return turn(q), turn(k)
