"""ELECTRA: BERT's blocks, a projection after narrow embeddings, a head without a pooler."""

from typing import Any

from torch import nn

from ..embedding import Embedding
from ..head import Head
from .parts import bert_block, Parts


def parts(model: Any) -> Parts:
    """The modules of a `ElectraForSequenceClassification`."""
    electra, c, classifier = model.electra, model.config, model.classifier
    project = getattr(electra, "embeddings_project", nn.Identity())
    return Parts(
        embedding=Embedding(
            electra.embeddings.word_embeddings,
            nn.Sequential(electra.embeddings.LayerNorm, project),
            token_types=electra.embeddings.token_type_embeddings,
            positions=electra.embeddings.position_embeddings,
        ),
        blocks=[bert_block(layer, c.num_attention_heads) for layer in electra.encoder.layer],
        head=Head(nn.Sequential(classifier.dense, classifier.activation), classifier.out_proj),
        n_positions=c.max_position_embeddings,
    )
