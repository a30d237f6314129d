"""RoBERTa and XLM-RoBERTa: positions count from padding_idx + 1, two separators between texts."""

from typing import Any

from torch import nn

from ..embedding import Embedding
from ..head import Head
from .parts import bert_block, padding_of, Parts


def parts(model: Any) -> Parts:
    """The modules of a `RobertaForSequenceClassification`, or of XLM-RoBERTa's."""
    roberta, c, classifier = model.roberta, model.config, model.classifier
    padding = padding_of(roberta.embeddings)
    return Parts(
        embedding=Embedding(
            roberta.embeddings.word_embeddings,
            roberta.embeddings.LayerNorm,
            token_types=roberta.embeddings.token_type_embeddings,
            positions=roberta.embeddings.position_embeddings,
            padding=padding,
        ),
        blocks=[bert_block(layer, c.num_attention_heads) for layer in roberta.encoder.layer],
        head=Head(nn.Sequential(classifier.dense, nn.Tanh()), classifier.out_proj),
        n_positions=c.max_position_embeddings - padding - 1,
    )
