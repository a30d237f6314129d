"""EuroBERT: a Llama that reads both ways, with a head on its first token or on the mean."""

from typing import Any

from torch import nn

from ..embedding import Embedding
from ..head import Head
from .decoder import block, check_rotation
from .nomic_bert import BOTH_WAYS, RotaryMasked
from .parts import Parts


def parts(model: Any) -> Parts:
    """The modules of a `EuroBertForSequenceClassification`.

    Raises:
        ValueError: the head is applied to every token, or config.json declares positions that
            nothing here follows.
    """
    euro, c = model.model, model.config
    check_rotation(c)
    if c.classifier_pooling not in ("bos", "mean"):
        raise ValueError(
            f"the config.json of this eurobert declares classifier_pooling "
            f"{c.classifier_pooling!r}: the mean of the logits of all tokens, which CrossLens does "
            "not follow; 'bos' and 'mean' are followed"
        )
    return Parts(
        embedding=Embedding(euro.embed_tokens, nn.Identity()),
        blocks=[block(layer, BOTH_WAYS, c) for layer in euro.layers],
        head=Head(
            nn.Sequential(model.dense, model.activation),
            model.classifier,
            reads_scored_row=c.classifier_pooling == "bos",
        ),
        n_positions=c.max_position_embeddings,
        context=RotaryMasked(euro.rotary_emb),
        final_norm=euro.norm,
    )
