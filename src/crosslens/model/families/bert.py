"""BERT, and the many cross-encoders that are one: MiniLM, TinyBERT, monoBERT."""

from typing import Any

from torch import nn

from ..embedding import Embedding
from ..head import Head
from .parts import bert_block, Parts


def parts(model: Any) -> Parts:
    """The modules of a `BertForSequenceClassification`."""
    bert, c = model.bert, model.config
    return Parts(
        embedding=Embedding(
            bert.embeddings.word_embeddings,
            bert.embeddings.LayerNorm,
            token_types=bert.embeddings.token_type_embeddings,
            positions=bert.embeddings.position_embeddings,
        ),
        blocks=[bert_block(layer, c.num_attention_heads) for layer in bert.encoder.layer],
        head=Head(nn.Sequential(bert.pooler.dense, bert.pooler.activation), model.classifier),
        n_positions=c.max_position_embeddings,
    )
