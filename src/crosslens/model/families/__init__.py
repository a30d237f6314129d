"""The model families: one file each says how its modules become a hooked transformer."""

from collections.abc import Callable
from typing import Any, Final

from . import bert, deberta, decoder, distilbert, electra, modernbert, roberta
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
