"""Text edits that keep the number of tokens: a term on one side, filler on the other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple, Protocol, runtime_checkable

from syntok import segmenter
from transformers import PreTrainedTokenizerBase

from ..not_measurable import NotMeasurable
from ..signals.frequency import term, WORD


# "a" is the filler of Lu et al. (2025); the others serve queries that contain it
FILLERS: Final = ("a", "an", "the", "it", "so")

Span = tuple[int, int]  # where something begins and ends in a text, in characters


@runtime_checkable
class HasTokens(Protocol):
    """What holds a tokenizer, and says how long a pair may be and how much of it is no text."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase: ...
    @property
    def limit(self) -> int: ...
    @property
    def n_framing(self) -> int: ...


class Edited(NamedTuple):
    """A text after an edit, and where the edited words stand in it."""

    text: str
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Slots:
    """A text with places that can be filled: words to replace, or gaps to write into."""

    text: str
    at: tuple[Span, ...]  # in the order of the text, none overlapping

    @property
    def own(self) -> tuple[str, ...]:
        """What the text itself has there: nothing in a gap."""
        return tuple(self.text[start:end] for start, end in self.at)

    def fill(self, words: Sequence[str]) -> Edited:
        """The text with one of `words` in each place."""
        text, spans, behind = "", [], 0
        for (start, end), word in zip(self.at, words, strict=True):
            text += self.text[behind:start]
            spans.append((len(text), len(text) + len(word)))
            text, behind = text + word, end
        return Edited(text + self.text[behind:], tuple(spans))


def after(text: str) -> Slots:
    """A gap after the text."""
    return Slots(f"{text} ", ((len(text) + 1, len(text) + 1),))


def before(text: str) -> Slots:
    """A gap before the text."""
    return Slots(f" {text}", ((0, 0),))


def places(text: str, term: str, n: int) -> Slots:
    """Every occurrence of `term`, and as many gaps between sentences as make it `n` places.

    Gaps are spread evenly; a text with few sentences has the surplus at its end.
    """
    found = occurrences(text, [term])
    ends = [end for _, end in sentence_spans(text)] or [len(text)]
    missing = max(n - len(found), 0)
    step = max(len(ends) // max(missing, 1), 1)
    gaps = [ends[min((i + 1) * step, len(ends)) - 1] for i in range(missing)]
    woven, at, behind = "", [], 0
    for start, end in sorted([*found, *((gap, gap) for gap in gaps)]):
        woven += text[behind:start]
        if start == end:
            woven += " "  # between the sentence before and what is written into the gap
        at.append((len(woven), len(woven) + end - start))
        woven, behind = woven + text[start:end], end
    return Slots(woven + text[behind:], tuple(at))


def occurrences(text: str, terms: Iterable[str]) -> list[Span]:
    """Where words of the text are one of `terms`, whatever their case."""
    wanted = set(map(term, terms))
    return [match.span() for match in WORD.finditer(text) if term(match[0]) in wanted]


def sentence_spans(text: str) -> list[Span]:
    """Where the sentences of a text are, by syntok's rules."""
    return [
        (sentence[0].offset, sentence[-1].offset + len(sentence[-1].value))
        for paragraph in segmenter.analyze(text)
        for sentence in paragraph
    ]


def sentences(text: str) -> list[str]:
    """The sentences of a text, by syntok's rules."""
    return [text[start:end] for start, end in sentence_spans(text)]


def tokens_inside(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The tokens of a text after another word, where some tokenizers mark the space before."""
    alone, both = (
        list(tokenizer(each, add_special_tokens=False, verbose=False)["input_ids"])
        for each in ("a", f"a {text}")
    )
    return both[len(alone) :]


@dataclass(frozen=True)
class Editor:
    """Knows how many tokens a text takes, and writes as much filler.

    Raises:
        NotMeasurable: the filler is not a single token, so that no length can be made up with it.
    """

    tokens: HasTokens
    filler: str = FILLERS[0]

    def __post_init__(self) -> None:
        if (n := self._count(self.fill(2))) != 2:
            raise NotMeasurable(
                f"filler {self.filler!r} takes {n - n // 2} tokens here; choose a word that is one "
                "token, such as 'a'"
            )

    def size(self, text: str, *, is_first: bool = False) -> int:
        """How many tokens `text` adds after another word, or before one."""
        both = f"{text} {self.filler}" if is_first else f"{self.filler} {text}"
        return self._count(both) - self._one

    def fill(self, n: int) -> str:
        """`n` tokens of filler."""
        return " ".join([self.filler] * n)

    def shorten(self, document: str, query: str, added: int) -> str:
        """The document's first words, as many as fit the model beside `query` and an edit."""
        limit = self.tokens.limit - self.tokens.n_framing - self._count(query) - added
        encoded = self.tokens.tokenizer(document, add_special_tokens=False, verbose=False)
        if len(encoded["input_ids"]) <= limit:
            return document
        span = encoded.token_to_chars(0, max(limit, 0))
        if span is None:
            return ""
        # what stands before the first token beyond the limit, less the word this token may end
        whole = document[: span.start + 1].rsplit(maxsplit=1)
        return whole[0] if len(whole) == 2 else ""

    def _count(self, text: str) -> int:
        encoded = self.tokens.tokenizer(text, add_special_tokens=False, verbose=False)
        return len(encoded["input_ids"])

    @cached_property
    def _one(self) -> int:
        return self._count(self.filler)
