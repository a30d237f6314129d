"""DistilBERT: post-LN blocks under other names, no sentence ids."""

from typing import Any

from torch import nn

from ..attention import Attention
from ..block import MLP, PostNormBlock
from ..embedding import Embedding
from ..head import Head
from .parts import Parts


def parts(model: Any) -> Parts:
    """The modules of a `DistilBertForSequenceClassification`."""
    distilbert, c = model.distilbert, model.config
    return Parts(
        embedding=Embedding(
            distilbert.embeddings.word_embeddings,
            distilbert.embeddings.LayerNorm,
            positions=distilbert.embeddings.position_embeddings,
        ),
        blocks=[
            PostNormBlock(
                Attention(
                    layer.attention.q_lin,
                    layer.attention.k_lin,
                    layer.attention.v_lin,
                    layer.attention.out_lin,
                    c.n_heads,
                ),
                MLP(layer.ffn.lin1, layer.ffn.activation, layer.ffn.lin2),
                layer.sa_layer_norm,
                layer.output_layer_norm,
            )
            for layer in distilbert.transformer.layer
        ],
        head=Head(nn.Sequential(model.pre_classifier, nn.ReLU()), model.classifier),
        n_positions=c.max_position_embeddings,
    )
