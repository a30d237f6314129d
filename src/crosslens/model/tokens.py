"""From texts to `Pairs`: the model's own tokenizer, with nothing dropped on the way."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

from ..pairs import NOT_A_WORD, NOWHERE, Pairs, Segment
from .checkpoint_files import blamed
from .laid_out import LaidOut, Row, trimmed
from .layouts import Layout
from .text_lengths import TextLengths


Truncation = Literal["longest_first", "only_second"]
TRUNCATIONS: Final = ("longest_first", "only_second")


def first(ids: Sequence[int]) -> int:
    """The scored row of an encoder: its first token, [CLS]."""
    return 0


def nowhere(ids: Sequence[int]) -> int:
    """The scored row of an encoder that a decoder step reads: none."""
    return NOWHERE


@dataclass(frozen=True)
class LastToken:
    """The scored row of a decoder: its last token that is not the padding token of the model."""

    pad_token_id: int | None

    def __call__(self, ids: Sequence[int]) -> int:
        """The place of that token; transformers too looks for it by its number."""
        others = [place for place, token in enumerate(ids) if token != self.pad_token_id]
        return others[-1] if others else 0


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
    n_embeddings: int | None = None  # how many tokens the model knows
    scored: Callable[[Sequence[int]], int] = first  # the scored row, from the ids of a pair
    layout: Layout | None = None  # None: two texts, as the tokenizer pairs them
    texts: TextLengths | None = None  # how much is read of each text, before the pair is cut

    def __post_init__(self) -> None:
        if not self.tokenizer.is_fast:
            raise ValueError(
                f"{type(self.tokenizer).__name__} does not say where its tokens stand in the "
                "text; CrossLens needs a fast tokenizer (one with a tokenizer.json)"
            )
        if self.truncation not in TRUNCATIONS:
            raise ValueError(f"truncation={self.truncation!r}; it is one of {TRUNCATIONS}")

    def __call__(self, queries: Iterable[str], documents: Iterable[str]) -> Pairs:
        """One pair for each query and the document beside it."""
        queries, documents = texts_of("query", queries), texts_of("document", documents)
        if len(queries) != len(documents):
            raise ValueError(f"{len(queries)} queries for {len(documents)} documents")
        for kind, texts in (("query", queries), ("document", documents)):
            empty = [i for i, text in enumerate(texts) if not text.strip()]
            if empty:
                raise ValueError(f"empty {kind} in pairs {empty}: there is nothing to score")
        if not queries:
            raise ValueError("no pairs: give at least one query and one document")

        if self.layout is not None:
            laid = LaidOut(self.tokenizer, self.layout, self.limit)
            rows, lengths = laid.rows(queries, documents)
        else:
            rows, lengths = self._two_texts(queries, documents)
        pairs = self._pack(rows, queries, documents, lengths)
        self._check_embedded(pairs)
        for kind in ("query", "document"):
            none = (~pairs.where(kind).any(dim=1)).nonzero().flatten().tolist()
            if none:
                raise ValueError(f"the {kind} of pairs {none} holds no token the model knows")
        return pairs

    def _two_texts(
        self, queries: Sequence[str], documents: Sequence[str]
    ) -> tuple[list[Row], list[int]]:
        """The pairs as the tokenizer frames two texts, and how long they were before any cut."""
        encodings = self._encode(queries, documents)
        lengths = [len(encoding) for encoding in encodings]
        theirs = None
        if self.texts is not None:
            theirs = self.texts.decoded(self.tokenizer, queries, documents)
            queries, documents = self.texts.beginnings(self.tokenizer, queries, documents)
            encodings = self._encode(queries, documents)
        for i, document in enumerate(documents):
            if len(encodings[i]) > self.limit:
                encodings[i] = self._shortened(i, queries[i], document, encodings[i])
        if theirs is not None:
            self._check_decoded(encodings, *theirs)
        rows = [
            self._row(encoding, query, document)
            for encoding, query, document in zip(encodings, queries, documents, strict=True)
        ]
        return rows, lengths

    def leave_space(self, queries: Sequence[str]) -> list[bool]:
        """Whether each query leaves a token for a document that is too long.

        Where both texts are cut every query does.
        """
        queries = list(queries)
        if self.layout is not None:
            laid = LaidOut(self.tokenizer, self.layout, self.limit)
            return [laid.leaves_space(query) for query in queries]
        if self.truncation != "only_second" or not queries:
            return [True] * len(queries)
        if self.texts is not None:
            queries, _ = self.texts.beginnings(self.tokenizer, queries, [])
        ids: Any = self.tokenizer(queries, add_special_tokens=False, verbose=False)
        around = self.tokenizer.num_special_tokens_to_add(pair=True)
        return [len(each) + around < self.limit for each in ids["input_ids"]]

    def are_kept(self, kind: str, texts: Sequence[str]) -> list[bool]:
        """Whether each query, or each document, is read in the tokens that it is written in.

        All are, unless the checkpoint's own code decodes texts and tokenizes them again.
        """
        if self.texts is None or not texts:
            return [True] * len(texts)
        sides = (texts, []) if kind == "query" else ([], texts)
        place = int(kind != "query")
        both = (cut(self.tokenizer, *sides) for cut in (self.texts.beginnings, self.texts.decoded))
        mine, theirs = (
            self.tokenizer(cut[place], add_special_tokens=False, verbose=False)["input_ids"]
            for cut in both
        )
        return [a == b for a, b in zip(mine, theirs, strict=True)]

    @property
    def n_around(self) -> int:
        """How many tokens a template puts around query and document; 0 without one."""
        if self.layout is None:
            return 0
        return sum(part in (Segment.TEMPLATE, Segment.INSTRUCTION) for part in self._framed())

    @property
    def n_framing(self) -> int:
        """How many tokens of a pair are of neither text: special ones, and those of a template."""
        if self.layout is None:
            return self.tokenizer.num_special_tokens_to_add(pair=True)
        return sum(part not in (Segment.QUERY, Segment.DOCUMENT) for part in self._framed())

    def _framed(self) -> Sequence[int]:
        """The segment of each token of the template, with one character in place of each text."""
        assert self.layout is not None
        (row,) = LaidOut(self.tokenizer, self.layout, self.limit).whole(["0"], ["0"])
        return row.segments

    @property
    def has_types(self) -> bool:
        """Whether the tokenizer gives token types; to a model that gets none all are 0."""
        return "token_type_ids" in self.tokenizer.model_input_names

    @property
    def pad_token_id(self) -> int:
        """The tokenizer's own padding token.

        Raises:
            ValueError: it has none.
        """
        pad: Any = self.tokenizer.pad_token_id
        if pad is None:
            raise ValueError(
                f"{type(self.tokenizer).__name__} has no padding token; set "
                "tokenizer.pad_token, or name the token that stands for no word"
            )
        return int(pad)

    def _check_embedded(self, pairs: Pairs) -> None:
        """Refuse a token that the model has no embedding for."""
        if self.n_embeddings is None or int(pairs.token.max()) < self.n_embeddings:
            return
        row = int((pairs.token >= self.n_embeddings).any(dim=1).nonzero()[0])
        token = int(pairs.token[row].max())
        raise ValueError(
            f"pair {row} holds the token {self.tokenizer.convert_ids_to_tokens(token)!r}, number "
            f"{token}, but the model has embeddings for {self.n_embeddings}: the tokenizer "
            f"({self.tokenizer.name_or_path or 'in memory'}) is another model's, or tokens were "
            "added without model.resize_token_embeddings"
        )

    def _encode(
        self, queries: Sequence[str], documents: Sequence[str], **options: Any
    ) -> list[Encoding]:
        with blamed(f"the tokenizer {self.tokenizer.name_or_path} cannot read these texts"):
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

    def _check_decoded(
        self, encodings: Sequence[Encoding], queries: Sequence[str], documents: Sequence[str]
    ) -> None:
        """Refuse texts that become other tokens where they are decoded and tokenized again.

        Those would have no place in the text. WordPiece makes the same ones again.
        """
        theirs = self._encode(queries, documents, truncation=self.truncation, max_length=self.limit)
        for i, (mine, other) in enumerate(zip(encodings, theirs, strict=True)):
            if (mine.ids, mine.sequence_ids) == (other.ids, other.sequence_ids):
                continue
            place = next(
                (at for at, (a, b) in enumerate(zip(mine.ids, other.ids, strict=False)) if a != b),
                min(len(mine), len(other)),
            )
            side = (mine if place < len(mine) else other).sequence_ids[place]
            raise ValueError(
                f"the {'document' if side else 'query'} of pair {i} is read otherwise than it is "
                f"written: lightning-ir decodes its tokens to text and tokenizes that again, which "
                f"makes {other.tokens[place : place + 3]} of {mine.tokens[place : place + 3]}; "
                "leave this text out, or write it as the tokenizer decodes it"
            )

    def _row(self, encoding: Encoding, query: str, document: str) -> Row:
        """Token ids, segments, token types, words and spans of one pair."""
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
        types = encoding.type_ids if self.has_types else [0] * len(encoding)
        return Row(encoding.ids, [int(s) for s in segments], types, words, spans)

    def _pack(self, rows, queries, documents, lengths) -> Pairs:
        width = max(len(ids) for ids, *_ in rows)
        pad = self.tokenizer.pad_token_id or 0  # which one does not matter: no token reads it

        def padded(part: int, fill: object) -> torch.Tensor:
            values = [list(row[part]) for row in rows]
            return torch.tensor([value + [fill] * (width - len(value)) for value in values])

        return Pairs(
            token=padded(0, pad),
            segment=padded(1, int(Segment.PAD)),
            token_type=padded(2, self.tokenizer.pad_token_type_id),
            word=padded(3, NOT_A_WORD),
            span=padded(4, (0, 0)),
            cut=torch.tensor(
                [length - len(ids) for length, (ids, *_) in zip(lengths, rows, strict=True)]
            ),
            scored=torch.tensor([self.scored(ids) for ids, *_ in rows]),
            query=tuple(queries),
            document=tuple(documents),
        )


def texts_of(kind: str, given: Iterable[str]) -> list[str]:
    """The texts of a list, a tuple or a column of a data frame.

    Raises:
        TypeError: one text in place of several, or what is no text: None, nan, bytes.
        ValueError: a text with half of a surrogate pair, which no tokenizer can read.
    """
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise TypeError(
            f"the {kind} texts are {given!r:.60}: give a list of texts, as in [{kind!r}]"
        )
    found = list(given)
    for i, text in enumerate(found):
        if not isinstance(text, str):
            raise TypeError(f"the {kind} of pair {i} is {text!r:.60}, expected a text")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"the {kind} of pair {i} holds {text[error.start]!a} at character {error.start}, "
                "half of a surrogate pair: it was cut or decoded wrongly"
            ) from None
    return found
