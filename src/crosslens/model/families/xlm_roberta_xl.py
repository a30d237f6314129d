"""XLM-RoBERTa-XL: RoBERTa's positions and head around pre-LN blocks."""

from typing import Any

from torch import nn

from ..attention import Attention
from ..block import MLP, PreNormBlock
from ..embedding import Embedding
from ..head import Head
from .parts import check_encoder, padding_of, Parts


def parts(model: Any) -> Parts:
    """The modules of an `XLMRobertaXLForSequenceClassification`."""
    roberta, c, classifier = model.roberta, model.config, model.classifier
    padding = padding_of(roberta.embeddings)
    for layer in roberta.encoder.layer:
        check_encoder(layer.attention.self)
    return Parts(
        embedding=Embedding(
            roberta.embeddings.word_embeddings,
            nn.Identity(),
            token_types=roberta.embeddings.token_type_embeddings,
            positions=roberta.embeddings.position_embeddings,
            padding=padding,
        ),
        blocks=[
            PreNormBlock(
                Attention(
                    layer.attention.self.query,
                    layer.attention.self.key,
                    layer.attention.self.value,
                    layer.attention.output.dense,
                    c.num_attention_heads,
                ),
                MLP(
                    layer.intermediate.dense,
                    layer.intermediate.intermediate_act_fn,
                    layer.output.dense,
                ),
                layer.attention.self_attn_layer_norm,
                layer.LayerNorm,
            )
            for layer in roberta.encoder.layer
        ],
        head=Head(nn.Sequential(classifier.dense, nn.Tanh()), classifier.out_proj),
        n_positions=c.max_position_embeddings - padding - 1,
        final_norm=roberta.encoder.LayerNorm,
    )
