"""From texts to `Pairs`: the model's own tokenizer, with nothing dropped on the way."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

from ..pairs import NOT_A_WORD, Pairs, Segment


Truncation = Literal["longest_first", "only_second"]
TRUNCATIONS: Final = ("longest_first", "only_second")


@dataclass(frozen=True)
class PairTokenizer:
    """Lays out queries and documents as the model was trained to read them.

    A pair longer than `limit` tokens loses tokens from its longer side ("longest_first", as
    sentence-transformers does) or from its document alone ("only_second"); `Pairs.cut`
    counts them.
    """

    tokenizer: PreTrainedTokenizerBase
    limit: int
    truncation: str = "longest_first"  # one of TRUNCATIONS

    def __post_init__(self) -> None:
        if not self.tokenizer.is_fast:
            raise ValueError(
                f"{type(self.tokenizer).__name__} does not say where its tokens stand in the "
                "text; CrossLens needs a fast tokenizer (one with a tokenizer.json)"
            )
        if self.truncation not in TRUNCATIONS:
            raise ValueError(f"truncation={self.truncation!r}; it is one of {TRUNCATIONS}")

    def __call__(self, queries: Sequence[str], documents: Sequence[str]) -> Pairs:
        """One pair for each query and the document beside it."""
        if len(queries) != len(documents):
            raise ValueError(f"{len(queries)} queries for {len(documents)} documents")
        for kind, texts in (("query", queries), ("document", documents)):
            empty = [i for i, text in enumerate(texts) if not text.strip()]
            if empty:
                raise ValueError(f"empty {kind} in pairs {empty}: there is nothing to score")
        if not queries:
            raise ValueError("no pairs: give at least one query and one document")

        encodings = self._encode(queries, documents)
        lengths = [len(encoding) for encoding in encodings]
        for i, document in enumerate(documents):
            if lengths[i] > self.limit:
                encodings[i] = self._shortened(i, queries[i], document, encodings[i])
        rows = [
            self._row(encoding, query, document)
            for encoding, query, document in zip(encodings, queries, documents, strict=True)
        ]
        pairs = self._pack(rows, queries, documents, lengths)
        for kind in ("query", "document"):
            none = (~pairs.where(kind).any(dim=1)).nonzero().flatten().tolist()
            if none:
                raise ValueError(f"the {kind} of pairs {none} holds no token the model knows")
        return pairs

    def _encode(
        self, queries: Sequence[str], documents: Sequence[str], **options: Any
    ) -> list[Encoding]:
        encoded = self.tokenizer(list(queries), list(documents), verbose=False, **options)
        return list(encoded.encodings or [])

    def _shortened(self, i: int, query: str, document: str, whole: Encoding) -> Encoding:
        """The same pair within the limit."""
        kept = len(whole) - whole.sequence_ids.count(1)  # all but the document
        if self.truncation == "only_second" and kept >= self.limit:
            raise ValueError(
                f"the query of pair {i} leaves no room for its document: with separators it "
                f"takes {kept} of {self.limit} tokens; shorten it, or use "
                "truncation='longest_first'"
            )
        return self._encode([query], [document], truncation=self.truncation, max_length=self.limit)[
            0
        ]

    def _row(
        self, encoding: Encoding, query: str, document: str
    ) -> tuple[list[int], list[int], list[int], list[tuple[int, int]]]:
        """Token ids, segments, words and spans of one pair."""
        sides = encoding.sequence_ids
        first_document = sides.index(1) if 1 in sides else len(sides)
        segments = []
        for place, side in enumerate(sides):
            if side is not None:
                segments.append(Segment.QUERY if side == 0 else Segment.DOCUMENT)
            elif place == 0:
                segments.append(Segment.CLS)
            else:
                segments.append(Segment.SEP1 if place < first_document else Segment.SEP2)
        words = [NOT_A_WORD if word is None else word for word in encoding.word_ids]
        spans = [
            trimmed((query, document)[side], span) if side is not None else (0, 0)
            for side, span in zip(sides, encoding.offsets, strict=True)
        ]
        return encoding.ids, [int(s) for s in segments], words, spans

    def _pack(self, rows, queries, documents, lengths) -> Pairs:
        width = max(len(ids) for ids, *_ in rows)
        pad = self.tokenizer.pad_token_id or 0

        def padded(values: list, fill: object) -> list:
            return values + [fill] * (width - len(values))

        return Pairs(
            token=torch.tensor([padded(ids, pad) for ids, *_ in rows]),
            segment=torch.tensor([padded(s, int(Segment.PAD)) for _, s, _, _ in rows]),
            word=torch.tensor([padded(w, NOT_A_WORD) for _, _, w, _ in rows]),
            span=torch.tensor([padded(list(spans), (0, 0)) for *_, spans in rows]),
            cut=torch.tensor(
                [length - len(ids) for length, (ids, *_) in zip(lengths, rows, strict=True)]
            ),
            scored=torch.zeros(len(rows), dtype=torch.long),  # [CLS], which stands first
            query=tuple(queries),
            document=tuple(documents),
        )


def trimmed(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """`span` without white space before the word, which some tokenizers count as its own."""
    start, end = span
    return start + len(text[start:end]) - len(text[start:end].lstrip()), end
