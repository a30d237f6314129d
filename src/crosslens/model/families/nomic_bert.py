"""NomicBERT and GTE: post-LN blocks with rotary positions and a gated MLP."""

from typing import Any, Final

import torch
from torch import nn, Tensor

from ...pairs import Pairs
from ..attention import Context, padding_mask
from ..block import PostNormBlock, SplitGatedMLP
from ..embedding import Embedding
from ..head import Head
from .decoder import check_rotation, DecoderAttention
from .parts import Parts


BOTH_WAYS: Final = "both ways"  # what attention reads: tokens before and behind


def parts(model: Any) -> Parts:
    """The modules of a `NomicBertForSequenceClassification` or `GteForSequenceClassification`.

    Raises:
        ValueError: its config.json declares positions that nothing here follows.
    """
    c = model.config
    check_rotation(c)
    bert = getattr(model, model.base_model_prefix)
    return Parts(
        embedding=Embedding(
            bert.embeddings.word_embeddings,
            bert.embeddings.LayerNorm,
            token_types=bert.embeddings.token_type_embeddings,
        ),
        blocks=[
            PostNormBlock(
                DecoderAttention(layer.self_attn, c, BOTH_WAYS),
                SplitGatedMLP(
                    layer.mlp.gate_proj, layer.mlp.up_proj, layer.mlp.act_fn, layer.mlp.down_proj
                ),
                layer.post_attention_layernorm,
                layer.post_mlp_layernorm,
            )
            for layer in bert.layers
        ],
        head=Head(nn.Sequential(bert.pooler.dense, bert.pooler.activation), model.classifier),
        n_positions=c.max_position_embeddings,
        context=RotaryMasked(bert.rotary_emb),
    )


class RotaryMasked(nn.Module):
    """No position reads padding, and a table of rotations that all layers share."""

    def __init__(self, rotary: nn.Module):
        super().__init__()
        self.rotary = rotary

    def forward(self, pairs: Pairs, resid: Tensor) -> Context:
        place = torch.arange(resid.shape[1], device=resid.device)
        cos, sin = self.rotary(resid, place[None])
        mask = padding_mask(pairs.attended, resid.dtype)
        return {f"mask {BOTH_WAYS}": mask, "cos": cos, "sin": sin}
