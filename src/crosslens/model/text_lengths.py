"""Texts that are cut each by itself before they become a pair, as lightning-ir cuts them.

Its tokenizer takes the first tokens of the query and of the document, decodes them to text, and
tokenizes that text again as one of a pair (`CrossEncoderTokenizer`, lightning_ir 0.0.6). The pair
is then cut to the model's limit like any other. So both lengths are a part of the score.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase


Cut = Callable[[PreTrainedTokenizerBase, Sequence[str], int], list[str]]


@dataclass(frozen=True)
class TextLengths:
    """How many tokens of each text are read at most; None is all of them, without decoding."""

    query: int | None
    document: int | None

    def decoded(
        self, tokenizer: PreTrainedTokenizerBase, queries: Sequence[str], documents: Sequence[str]
    ) -> tuple[list[str], list[str]]:
        """The texts that lightning-ir's tokenizer puts together to pairs."""
        return self._each(decoded, tokenizer, queries, documents)

    def beginnings(
        self, tokenizer: PreTrainedTokenizerBase, queries: Sequence[str], documents: Sequence[str]
    ) -> tuple[list[str], list[str]]:
        """The texts as they are written, up to the last token that is read."""
        return self._each(beginnings, tokenizer, queries, documents)

    def _each(
        self,
        cut: Cut,
        tokenizer: PreTrainedTokenizerBase,
        queries: Sequence[str],
        documents: Sequence[str],
    ) -> tuple[list[str], list[str]]:
        both = []
        for texts, most in ((queries, self.query), (documents, self.document)):
            unique = list(dict.fromkeys(texts))  # one query stands beside many documents
            made = unique if most is None or not unique else cut(tokenizer, unique, most)
            found = dict(zip(unique, made, strict=True))
            both.append([found[text] for text in texts])
        return both[0], both[1]


def decoded(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], most: int) -> list[str]:
    """What the first `most` tokens of each text spell, in the tokenizer's own words."""
    ids: Any = tokenizer(
        list(texts), add_special_tokens=False, truncation=True, max_length=most, verbose=False
    )
    return list(tokenizer.batch_decode(ids["input_ids"]))


def beginnings(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], most: int) -> list[str]:
    """Each text up to the end of its token number `most`."""
    encoded: Any = tokenizer(list(texts), add_special_tokens=False, verbose=False)
    return [
        text if len(each) <= most else text[: each.offsets[most - 1][1]]
        for text, each in zip(texts, encoded.encodings, strict=True)
    ]
