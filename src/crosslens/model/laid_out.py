"""The tokens of pairs in a template: of which text each is, and what is cut."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

from ..pairs import NOT_A_WORD, Segment
from .checkpoint_files import blamed
from .layouts import Layout, Part, Piece


class Row(NamedTuple):
    """The tokens of one pair."""

    ids: list[int]
    segments: list[int]
    types: list[int]
    words: list[int]
    spans: list[tuple[int, int]]

    def joined(self, other: "Row") -> "Row":
        """These tokens, then the others."""
        both: list[Any] = [mine + theirs for mine, theirs in zip(self, other, strict=True)]
        return Row(*both)

    def part(self, start: int, stop: int | None = None) -> "Row":
        """Some of the tokens."""
        some: list[Any] = [values[start:stop] for values in self]
        return Row(*some)


FILLERS = ("0", "1 2 3 4")  # two documents with no token in common, at either end


@dataclass(frozen=True)
class LaidOut:
    """Pairs in a layout, tokenized piece by piece; the document alone is cut to `limit` tokens."""

    tokenizer: PreTrainedTokenizerBase
    layout: Layout
    limit: int

    def rows(self, queries: Sequence[str], documents: Sequence[str]) -> tuple[list[Row], list[int]]:
        """The pairs, none longer than the limit, and how long they were.

        Raises:
            ValueError: template and query leave no token for the document.
        """
        rows = self.whole(queries, documents)
        lengths = [len(row.ids) for row in rows]
        for i, length in enumerate(lengths):
            if length > self.limit:
                rows[i] = self.cut(i, rows[i], queries[i])
        return rows, lengths

    def whole(self, queries: Sequence[str], documents: Sequence[str]) -> list[Row]:
        """The pairs with all of their tokens."""
        pieces = [
            self.layout.pieces(query, document)
            for query, document in zip(queries, documents, strict=True)
        ]
        flat = [piece for of_pair in pieces for piece in of_pair]
        with blamed(f"the tokenizer {self.tokenizer.name_or_path} cannot read these texts"):
            encoded = self.tokenizer(
                [piece.text for piece in flat], add_special_tokens=False, verbose=False
            )
        each = iter(encoded.encodings or [])
        rows = []
        for of_pair in pieces:
            row = Row([], [], [], [], [])
            for piece in of_pair:
                row = row.joined(row_of(next(each), piece))
            rows.append(row)
        return rows

    def cut(self, i: int, row: Row, query: str) -> Row:
        """The same pair within the limit: what follows the document stays.

        Raises:
            ValueError: there is no token left for the document.
        """
        one, n_end = self.end(query)
        first = row.segments.index(Segment.DOCUMENT)
        kept = self.limit - n_end
        if kept <= first:
            raise ValueError(
                f"the query of pair {i} leaves no room for its document: with its template it "
                f"takes {first + n_end} of {self.limit} tokens; shorten it"
            )
        return row.part(0, kept).joined(one.part(len(one.ids) - n_end))

    def end(self, query: str) -> tuple[Row, int]:
        """The query with a short document, and how many tokens follow any document.

        These are what two documents have in common, so that a token which holds the last letters
        of a document and the first of the template is none of them.
        """
        one, other = self.whole([query] * 2, list(FILLERS))
        n_end = 0
        for mine, theirs in zip(reversed(one.ids), reversed(other.ids), strict=False):
            if mine != theirs:
                break
            n_end += 1
        return one, n_end

    def leaves_space(self, query: str) -> bool:
        """Whether a document that is too long would keep a token."""
        one, n_end = self.end(query)
        return self.limit - n_end > one.segments.index(Segment.DOCUMENT)


def row_of(encoding: Encoding, piece: Piece) -> Row:
    """The tokens of one piece; a token belongs to the text in which it has most characters."""
    segments, words, spans = [], [], []
    numbers: dict[Segment, dict[int, int]] = {}
    for word, offsets in zip(encoding.word_ids, encoding.offsets, strict=True):
        start, end = trimmed(piece.text, offsets)
        part = max(piece.parts, key=lambda part: overlap(part, start, end), default=None)
        if part is None or overlap(part, start, end) <= 0 or end <= start:
            part, start, end = white_space(piece, offsets), offsets[0], offsets[0]
        if part is None:
            segments.append(int(Segment.TEMPLATE))
            words.append(NOT_A_WORD)
            spans.append((0, 0))
            continue
        is_text = part.segment != Segment.INSTRUCTION
        segments.append(int(part.segment))
        known = numbers.setdefault(part.segment, {})
        number = NOT_A_WORD if word is None else known.setdefault(word, len(known))
        words.append(number if is_text else NOT_A_WORD)
        begin = max(start, part.start) - part.start + part.skipped
        stop = min(max(end, part.start), part.end) - part.start + part.skipped
        spans.append((begin, max(begin, stop)) if is_text else (0, 0))
    return Row(encoding.ids, segments, list(encoding.type_ids), words, spans)


def overlap(part: Part, start: int, end: int) -> int:
    """How many characters from `start` to `end` are the part's."""
    return min(part.end, end) - max(part.start, start)


def white_space(piece: Piece, offsets: tuple[int, int]) -> Part | None:
    """The text that a token of white space alone stands in, if it stands in one."""
    start, end = offsets
    if piece.text[start:end].strip():
        return None
    inside = (part for part in piece.parts if part.start <= start and end <= part.end)
    return next(inside, None) if end > start else None


def trimmed(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """`span` without white space before the word, which some tokenizers count as its own."""
    start, end = span
    return start + len(text[start:end]) - len(text[start:end].lstrip()), end
