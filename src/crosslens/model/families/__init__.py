"""The model families: one file each says how its modules become a hooked transformer."""

from collections.abc import Callable
from typing import Any, Final

from ..layouts import Answer
from . import bert, deberta, decoder, distilbert, electra, modernbert, roberta, t5
from .parts import Parts


# By the `model_type` of a Hugging Face config.
FAMILIES: Final[dict[str, Callable[[Any], Parts]]] = {
    "bert": bert.parts,
    "electra": electra.parts,
    "roberta": roberta.parts,
    "xlm-roberta": roberta.parts,
    "camembert": roberta.parts,
    "distilbert": distilbert.parts,
    "modernbert": modernbert.parts,
    "deberta-v2": deberta.parts,
    **dict.fromkeys(decoder.DECODERS, decoder.parts),
}
# Language models, scored by the logits of an answer.
ANSWERING: Final[dict[str, Callable[[Any, Answer], Parts]]] = {
    **dict.fromkeys(decoder.DECODERS, decoder.answering),
    **dict.fromkeys(t5.ENCODER_DECODERS, t5.answering),
}
