"""ALBERT: post-LN blocks that share their weights, and a projection after narrow embeddings."""

from typing import Any

from torch import nn

from ..attention import Attention
from ..block import Block, MLP, PostNormBlock
from ..embedding import Embedding
from ..head import Head
from .parts import Parts


def parts(model: Any) -> Parts:
    """The modules of an `AlbertForSequenceClassification`.

    Every block has sites of its own and the weights of its group: an edit of an activation is of
    one block, an edit of a weight of them all.
    """
    albert, c = model.albert, model.config
    groups = [
        albert.encoder.albert_layer_groups[i * c.num_hidden_groups // c.num_hidden_layers]
        for i in range(c.num_hidden_layers)
    ]
    return Parts(
        embedding=Embedding(
            albert.embeddings.word_embeddings,
            nn.Sequential(albert.embeddings.LayerNorm, albert.encoder.embedding_hidden_mapping_in),
            token_types=albert.embeddings.token_type_embeddings,
            positions=albert.embeddings.position_embeddings,
        ),
        blocks=[
            block(layer, c.num_attention_heads) for group in groups for layer in group.albert_layers
        ],
        head=Head(nn.Sequential(albert.pooler, albert.pooler_activation), model.classifier),
        n_positions=c.max_position_embeddings,
    )


def block(layer: Any, n_heads: int) -> Block:
    """One block on the modules of a layer, which other blocks may have too."""
    a = layer.attention
    return PostNormBlock(
        Attention(a.query, a.key, a.value, a.dense, n_heads),
        MLP(layer.ffn, layer.activation, layer.ffn_output),
        a.LayerNorm,
        layer.full_layer_layer_norm,
    )
