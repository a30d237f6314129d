"""MPNet: BERT's blocks with a learned bias for relative positions, which all layers share."""

from typing import Any

from torch import nn, Tensor

from ...pairs import Pairs
from ..attention import Attention, Context, padding_mask
from ..block import Block, MLP, PostNormBlock
from ..embedding import Embedding
from ..head import Head
from .parts import padding_of, Parts


def parts(model: Any) -> Parts:
    """The modules of an `MPNetForSequenceClassification`."""
    mpnet, c, classifier = model.mpnet, model.config, model.classifier
    padding = padding_of(mpnet.embeddings)
    return Parts(
        embedding=Embedding(
            mpnet.embeddings.word_embeddings,
            mpnet.embeddings.LayerNorm,
            positions=mpnet.embeddings.position_embeddings,
            padding=padding,
        ),
        blocks=[block(layer, c.num_attention_heads) for layer in mpnet.encoder.layer],
        head=Head(nn.Sequential(classifier.dense, nn.Tanh()), classifier.out_proj),
        n_positions=c.max_position_embeddings - padding - 1,
        context=RelativeBias(mpnet.encoder),
    )


def block(layer: Any, n_heads: int) -> Block:
    """One layer; its attention has names of its own."""
    a = layer.attention.attn
    return PostNormBlock(
        Attention(a.q, a.k, a.v, a.o, n_heads),
        MLP(layer.intermediate.dense, layer.intermediate.intermediate_act_fn, layer.output.dense),
        layer.attention.LayerNorm,
        layer.output.LayerNorm,
    )


class RelativeBias(nn.Module):
    """What is added to the scores of every head: its bias for each distance, and the mask."""

    def __init__(self, encoder: Any):
        super().__init__()
        self.encoder = encoder

    def forward(self, pairs: Pairs, resid: Tensor) -> Context:
        bias = self.encoder.compute_position_bias(resid[:1])  # 1 head dst src
        return {"mask": padding_mask(pairs.attended, resid.dtype) + bias}
