"""Sentences of a passage, and the same passage with its sentences in another order.

A sentence ends at white space behind ".", "!", "?" or "…" (quotes and brackets may follow them)
and behind "。", "！" or "？". Abbreviations are not known: "Dr. Who" is two sentences.
"""

import random
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final


_END: Final = re.compile(r"(?:[.!?…][\"'”’»)\]]*\s+|[。！？]\s*)")


def sentences(text: str) -> list[str]:
    """The sentences of a text, without the white space between them."""
    found, start = [], 0
    for end in _END.finditer(text):
        found.append(text[start : end.end()].strip())
        start = end.end()
    return [each for each in [*found, text[start:].strip()] if each]


def swapped(text: str, seed: int = 0) -> str:
    """The first two sentences change places."""
    first, *others = sentences(text)
    return " ".join([*others[:1], first, *others[1:]])


def shuffled(text: str, seed: int = 0) -> str:
    """The sentences in an order drawn by `seed` and the text itself."""
    found = sentences(text)
    random.Random(f"{seed} {text}").shuffle(found)
    return " ".join(found)


def reversed_sentences(text: str, seed: int = 0) -> str:
    """The last sentence comes first."""
    return " ".join(sentences(text)[::-1])


# by the names of Jiang et al. (2021), section 4.4
ORDERS: Final[Mapping[str, Callable[[str, int], str]]] = MappingProxyType(
    {"swapped": swapped, "shuffled": shuffled, "reversed": reversed_sentences}
)
