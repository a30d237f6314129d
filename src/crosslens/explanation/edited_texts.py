"""Texts without some of their words, or with others: what a person would have written."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..attribution.words.word_attribution import words_of
from ..pairs import Pairs, Segment


class Word(NamedTuple):
    """A word of a text as the model's tokenizer cuts it, in characters and in tokens."""

    text: str
    start: int
    end: int
    tokens: tuple[int, ...]  # its places in the pair

    @property
    def is_word(self) -> bool:
        """Whether it holds a letter or a digit: punctuation is no word to a reader."""
        return any(character.isalnum() for character in self.text)


def words_in(pairs: Pairs, i: int, segment: Segment) -> list[Word]:
    """The words of the query or the document of pair `i` that truncation left, in order."""
    text = (pairs.query if segment == Segment.QUERY else pairs.document)[i]
    spans = pairs.span[i].tolist()
    found = []
    for part, _, tokens in words_of(pairs, i):
        if part == segment:
            start = min(spans[token][0] for token in tokens)
            end = max(spans[token][1] for token in tokens)
            found.append(Word(text[start:end], start, end, tuple(tokens)))
    return found


def text_without(text: str, spans: Iterable[Sequence[int]]) -> str:
    """The text without these stretches of characters, one space in the place of each gap."""
    out, last = "", 0
    for start, end in sorted(map(tuple, spans)):
        out = _joined(out, text[last:start])
        last = end
    return _joined(out, text[last:]).strip()


def _joined(before: str, after: str) -> str:
    """Both sides of a gap: what was apart stays apart, and no space is doubled."""
    if not before or not after:
        return before + after
    return f"{before.rstrip()} {after.lstrip()}"


def text_with(text: str, before: Sequence[str], after: Sequence[str]) -> str:
    """The text with further words before its first and after its last."""
    return " ".join([*before, text, *after])
