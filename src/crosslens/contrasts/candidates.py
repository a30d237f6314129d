"""Candidates: the queries and documents of a collection, in an order drawn by seed."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

from ..corpora.collection import Collection
from ..not_measurable import NotMeasurable
from ..signals.frequency import Frequencies, term as spelt, tokenize
from .contrast import is_read, Minimal, Tokenizing
from .edits import Editor, FILLERS, HasTokens, sentences, Slots


FEWEST_WORDS = 3  # a document shortened to less is no document any more


@runtime_checkable
class Reads(Tokenizing, Protocol):
    """A model that reads texts, and how it does."""

    @property
    def tokens(self) -> HasTokens: ...


@dataclass(frozen=True, eq=False)
class Candidate:
    """A query and a document of a collection, from which minimal pairs are made."""

    qid: str
    docid: str
    query: str
    document: str
    terms: tuple[str, ...]  # of the query, rarest first
    editor: Editor  # with a filler that is no term of the query
    chance: random.Random  # its own, so that no other candidate changes its draws
    is_shortened: bool = False

    @property
    def query_terms(self) -> frozenset[str]:
        return frozenset(tokenize(self.query))

    def shortened(self, added: int) -> "Candidate | None":
        """The candidate with as much of its document as fits beside `added` tokens.

        None if that is hardly anything.
        """
        document = self.editor.shorten(self.document, self.query, added)
        if document == self.document:
            return self
        if len(tokenize(document)) < FEWEST_WORDS:
            return None
        return replace(self, document=document, is_shortened=True)

    def minimal(self, slots: Slots, base: list[str], more: list[str], term: str) -> Minimal:
        """The two texts with the slots filled; slots filled alike are no edit."""
        sides = slots.fill(base), slots.fill(more)
        edits = [
            tuple(
                span
                for span, one, other in zip(side.spans, base, more, strict=True)
                if one != other
            )
            for side in sides
        ]
        return Minimal(
            self.query,
            sides[0].text,
            sides[1].text,
            term,
            self.qid,
            self.docid,
            edits=(edits[0], edits[1]),
            is_shortened=self.is_shortened,
        )


@dataclass(frozen=True, eq=False)
class Candidates:
    """The candidates of a collection as one model reads them, the same for the same seed.

    `fillers` are tried in order: the first that is one token and no term of the query is used.
    `terms` chooses the selected term of some queries, by their ids; the others have theirs by
    rarity, counted over the collection's own documents.

    Raises:
        ValueError: a chosen term is not in its query.
        LookupError: a chosen term's query is not in the collection.
    """

    model: Reads
    collection: Collection
    seed: int = 0
    fillers: tuple[str, ...] = FILLERS
    chosen: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for qid, term in (self.chosen or {}).items():
            if qid not in self.collection.queries:
                raise LookupError(
                    f"a term is chosen for query {qid!r}, which collection "
                    f"{self.collection.name!r} lacks"
                )
            words = tokenize(self.collection.queries[qid])
            if spelt(term) not in words:
                raise ValueError(
                    f"{term!r} is no term of query {qid!r}, whose terms are {', '.join(words)}"
                )

    def __iter__(self) -> Iterator[Candidate | str]:
        """One document of every query, then a second of every query; or why there is none."""
        drawn = {}
        for qid in self.qids:
            docids = sorted(self.collection.candidates[qid])
            random.Random(f"{self.seed} {qid}").shuffle(docids)
            drawn[qid] = docids
        for turn in range(max(map(len, drawn.values()), default=0)):
            for qid in self.qids:
                if turn < len(drawn[qid]):
                    yield self._candidate(qid, drawn[qid][turn])

    def _candidate(self, qid: str, docid: str) -> Candidate | str:
        terms, editor = self._read[qid]
        if not terms:
            return "without a query term that the model reads as a word of its own"
        if editor is None:
            return f"whose query holds every filler ({', '.join(self.fillers)})"
        document = self.collection.documents[docid]
        chance = random.Random(f"{self.seed} {qid} {docid}")
        query = self.collection.queries[qid]
        return Candidate(qid, docid, query, document, terms, editor, chance)

    def terms(self, query: str) -> tuple[str, ...]:
        """The words of a query, rarest first; of equals, the alphabet decides."""
        words = {word for word in tokenize(query) if word.isalnum() and len(word) > 1}
        return tuple(sorted(words, key=lambda word: (-self.idf(word), word)))

    def idf(self, term: str) -> float:
        """How rare a word is in the collection, in nats."""
        return self.frequencies.idf(term)

    def words(self) -> list[str]:
        """Words that a few documents use: neither names seen once nor grammar."""
        n = self.frequencies.n_documents
        return sorted(
            str(word)
            for word, df in self.frequencies.df.items()
            if 2 <= df <= max(2, n // 20) and str(word).isalpha() and len(str(word)) > 2
        )

    def sentences(self, docid: str) -> list[str]:
        """The sentences of a document; read once."""
        if docid not in self._sentences:
            self._sentences[docid] = sentences(self.collection.documents[docid])
        return self._sentences[docid]

    @cached_property
    def qids(self) -> list[str]:
        """The queries with candidates, shuffled by seed."""
        qids = sorted(qid for qid, docids in self.collection.candidates.items() if docids)
        random.Random(f"{self.seed}").shuffle(qids)
        return qids

    @cached_property
    def frequencies(self) -> Frequencies:
        """Of words, over all documents of the collection."""
        return Frequencies.of(tokenize(text) for text in self.collection.documents.values())

    @cached_property
    def _editors(self) -> list[Editor]:
        """An editor for each filler that the model reads as one token."""
        editors, wrong = [], None
        for filler in self.fillers:
            try:
                editors.append(Editor(self.model.tokens, filler))
            except NotMeasurable as error:
                wrong = error
        if not editors:
            raise wrong or ValueError("no filler is given")
        return editors

    @cached_property
    def _read(self) -> dict[str, tuple[tuple[str, ...], Editor | None]]:
        """The terms that the model reads as words of their own, and the editor, of each query."""
        queries = [self.collection.queries[qid] for qid in self.qids]
        filler = self._editors[0].filler
        pairs = self.model.pairs(queries, [filler] * len(queries)).to("cpu") if queries else None
        read = {}
        for i, (qid, query) in enumerate(zip(self.qids, queries, strict=True)):
            assert pairs is not None
            chosen = spelt((self.chosen or {}).get(qid, ""))
            ranked = sorted(self.terms(query), key=lambda term: term != chosen)
            terms = [chosen] if chosen and chosen not in ranked else []
            terms += ranked
            words = set(tokenize(query))
            free = [editor for editor in self._editors if editor.filler not in words]
            kept = tuple(t for t in terms if is_read(pairs, i, t) and not self._is_unknown(t))
            read[qid] = kept, next(iter(free), None)
        return read

    def _is_unknown(self, term: str) -> bool:
        tokenizer: Any = self.model.tokens.tokenizer
        ids = tokenizer(term, add_special_tokens=False, verbose=False)["input_ids"]
        return tokenizer.unk_token_id in ids

    @cached_property
    def _sentences(self) -> dict[str, list[str]]:
        return {}
