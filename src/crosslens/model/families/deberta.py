"""DeBERTa-v2 and v3: heads see content and relative position apart (disentangled attention)."""

from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import nn, Tensor
from transformers.activations import ACT2FN
from transformers.models.deberta_v2.modeling_deberta_v2 import build_relative_position

from ...pairs import Pairs
from ..attention import Attention, Context
from ..block import MLP, PostNormBlock
from ..embedding import Embedding
from ..head import Head
from .parts import Parts


def parts(model: Any) -> Parts:
    """The modules of a `DebertaV2ForSequenceClassification`."""
    deberta, c = model.deberta, model.config
    embeddings, encoder = deberta.embeddings, deberta.encoder
    if encoder.conv is not None:
        raise ValueError(
            f"config.json declares conv_kernel_size {c.conv_kernel_size}: this DeBERTa mixes "
            "neighbours in a convolution after its first block, which has no site here; DeBERTa-v3 "
            "and the v2 models without conv_kernel_size are supported"
        )

    project = [embeddings.embed_proj] if embeddings.embed_proj is not None else []
    if c.pooler_hidden_act not in ACT2FN:
        raise ValueError(
            f"config.json declares pooler_hidden_act {c.pooler_hidden_act!r}, which names no "
            "activation of transformers"
        )
    activation = ACT2FN[c.pooler_hidden_act]
    return Parts(
        embedding=Embedding(
            embeddings.word_embeddings,
            nn.Sequential(*project, embeddings.LayerNorm),
            token_types=embeddings.token_type_embeddings,
            positions=embeddings.position_embeddings,
        ),
        blocks=[
            PostNormBlock(
                DisentangledAttention(
                    layer.attention.self, layer.attention.output.dense, c.num_attention_heads
                ),
                MLP(
                    layer.intermediate.dense,
                    layer.intermediate.intermediate_act_fn,
                    layer.output.dense,
                ),
                layer.attention.output.LayerNorm,
                layer.output.LayerNorm,
            )
            for layer in encoder.layer
        ],
        head=Head(nn.Sequential(model.pooler.dense, activation), model.classifier),
        n_positions=c.max_position_embeddings,
        context=RelativeContext(encoder),
    )


class RelativeContext(nn.Module):
    """The mask, and the table of relative positions that all heads of all layers share."""

    def __init__(self, encoder: Any):
        super().__init__()
        self.is_relative = encoder.relative_attention
        if self.is_relative:
            self.embedding = encoder.rel_embeddings
            self.norm = encoder.LayerNorm if "layer_norm" in encoder.norm_rel_ebd else nn.Identity()
            self.buckets, self.furthest = encoder.position_buckets, encoder.max_relative_positions

    def forward(self, pairs: Pairs, resid: Tensor) -> Context:
        both = pairs.attended[:, None, :, None] & pairs.attended[:, None, None, :]
        if not self.is_relative:
            return {"mask": both}
        return {
            "mask": both,
            "relative position": build_relative_position(
                resid, resid, bucket_size=self.buckets, max_position=self.furthest
            ),
            "relative embedding": self.norm(self.embedding.weight),
        }


class DisentangledAttention(Attention):
    """Content-to-content scores, plus the original's own bias for relative positions."""

    is_fusible = False
    is_square = True
    is_linear = False

    def __init__(self, original: Any, out: nn.Linear, n_heads: int):
        super().__init__(original.query_proj, original.key_proj, original.value_proj, out, n_heads)
        self.original = original

    def scores(self, q: Tensor, k: Tensor, context: Context) -> Float[Tensor, "pair head dst src"]:
        """He et al. (2021), eq. 4; each kind of bias enlarges the divisor, as in the original."""
        kinds = 1 + sum(kind in self.original.pos_att_type for kind in ("c2p", "p2c"))
        q = rearrange(q, "pair dst head d -> (pair head) dst d")
        k = rearrange(k, "pair src head d -> (pair head) src d")
        divisor = torch.tensor(q.shape[-1] * kinds, dtype=torch.float32).sqrt().to(q.dtype)
        scores = torch.bmm(q, rearrange(k, "ph src d -> ph d src") / divisor)
        if "relative position" in context:
            scores = scores + self.original.disentangled_attention_bias(
                q, k, context["relative position"], context["relative embedding"], kinds
            )
        scores = rearrange(scores, "(pair head) dst src -> pair head dst src", head=self.n_heads)
        return scores.masked_fill(~context["mask"], torch.finfo(scores.dtype).min)
