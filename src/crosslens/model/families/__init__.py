"""The model families: one file each says how its modules become a hooked transformer."""

from collections.abc import Callable
from typing import Any, Final

from ..layouts import Answer
from . import (
    albert,
    bert,
    deberta,
    decoder,
    distilbert,
    electra,
    eurobert,
    llama_bidirectional,
    modernbert,
    mpnet,
    nomic_bert,
    roberta,
    t5,
    xlm_roberta_xl,
)
from .parts import Parts


# By the `model_type` of a Hugging Face config.
FAMILIES: Final[dict[str, Callable[[Any], Parts]]] = {
    "bert": bert.parts,
    "electra": electra.parts,
    "roberta": roberta.parts,
    "xlm-roberta": roberta.parts,
    "camembert": roberta.parts,
    "xlm-roberta-xl": xlm_roberta_xl.parts,
    "mpnet": mpnet.parts,
    "albert": albert.parts,
    "nomic_bert": nomic_bert.parts,
    "gte": nomic_bert.parts,
    "eurobert": eurobert.parts,
    "distilbert": distilbert.parts,
    "modernbert": modernbert.parts,
    "deberta-v2": deberta.parts,
    "llama_bidirec": llama_bidirectional.parts,
    **dict.fromkeys(decoder.DECODERS, decoder.parts),
}
# Language models, scored by the logits of an answer.
ANSWERING: Final[dict[str, Callable[[Any, Answer], Parts]]] = {
    **dict.fromkeys(decoder.DECODERS, decoder.answering),
    **dict.fromkeys(t5.ENCODER_DECODERS, t5.answering),
}
