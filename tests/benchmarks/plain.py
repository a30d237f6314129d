"""The floor: the blocks after an edit as bare torch, with no hook, no cell and no pairs."""

import torch
from torch import Tensor
from torch.nn import functional as F


def suffix(original: torch.nn.Module, start: int, resid: Tensor, z: Tensor | None) -> Tensor:
    """The logits from the stream at `start`, or from z and the stream there.

    Attention is fused, the last block computes one row; every token counts, there is no padding.
    """
    layers = original.bert.encoder.layer
    for i in range(start, len(layers)):
        attention = layers[i].attention
        width = 1 if i == len(layers) - 1 else resid.shape[1]
        if i > start or z is None:
            z = heads_of(attention.self, resid[:, :width], resid)
        z, resid = z[:, :width], resid[:, :width]
        resid = attention.output.LayerNorm(attention.output.dense(z.flatten(2)) + resid)
        grown = F.gelu(layers[i].intermediate.dense(resid))
        resid = layers[i].output.LayerNorm(layers[i].output.dense(grown) + resid)
    return original.classifier(
        original.bert.pooler.activation(original.bert.pooler.dense(resid[:, 0]))
    )


def heads_of(attention: torch.nn.Module, dst: Tensor, src: Tensor) -> Tensor:
    n = attention.num_attention_heads

    def split(x: Tensor) -> Tensor:
        return x.unflatten(-1, (n, -1)).transpose(1, 2)

    z = F.scaled_dot_product_attention(
        split(attention.query(dst)), split(attention.key(src)), split(attention.value(src))
    )
    return z.transpose(1, 2)
