"""Text edits that keep the number of tokens: a term on one side, filler on the other."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

from syntok import segmenter
from transformers import PreTrainedTokenizerBase


@runtime_checkable
class HasTokens(Protocol):
    """What holds a tokenizer and how long a pair may be."""

    tokenizer: PreTrainedTokenizerBase
    limit: int


@dataclass(frozen=True)
class Editor:
    """Knows how many tokens a word takes, and writes as much filler.

    The filler of Lu et al. (2025) is the word "a": one token, no content.
    """

    tokens: HasTokens
    filler: str = "a"

    def size(self, text: str) -> int:
        """How many tokens `text` adds where it follows another word."""
        return self._count(f"{self.filler} {text}") - self._one

    def fill(self, n: int) -> str:
        """`n` tokens of filler."""
        return " ".join([self.filler] * n)

    def shorten(self, document: str, query: str, added: int) -> str:
        """The document's first words, as many as fit the model beside `query` and an edit."""
        framing = self.tokens.tokenizer.num_special_tokens_to_add(pair=True)
        room = self.tokens.limit - framing - self._count(query) - added
        encoded = self.tokens.tokenizer(document, add_special_tokens=False, verbose=False)
        if len(encoded["input_ids"]) <= room:
            return document
        words = encoded.word_ids(0)
        cut = max(room, 0)
        while cut and words[cut] == words[cut - 1]:
            cut -= 1  # never half a word
        span = encoded.token_to_chars(0, cut)
        return document[: span.start].rstrip() if span else ""

    def _count(self, text: str) -> int:
        encoded = self.tokens.tokenizer(text, add_special_tokens=False, verbose=False)
        return len(encoded["input_ids"])

    @cached_property
    def _one(self) -> int:
        return self._count(self.filler)


def sentences(text: str) -> list[str]:
    """The sentences of a text, by syntok's rules."""
    return [
        "".join(token.spacing + token.value for token in sentence).strip()
        for paragraph in segmenter.analyze(text)
        for sentence in paragraph
    ]
