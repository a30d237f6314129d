"""The contrasts of retrieval axioms, built from any collection.

| signal | base | more | isolates |
|---|---|---|---|
| TFC1 | d + filler | d + a query term | one more exact match |
| STMC1 | d + filler | d + a word close in meaning to a query term | one soft match |
| TFC2-K | d with filler in five places | a query term in K of them | saturation |
| LNC2-i | d + filler | d + i sentences of another query's document | irrelevant length |
| TDC | d + a common query term | d + a rare one | term discrimination, IDF |
| control | d + filler | d + a word of neither query nor document | nothing: must do little |

The two sides always have the same number of tokens, and filler is attended to, as in Lu et al.
(2025, section 2): LNC2 therefore asks what irrelevant *content* does at a given length. What
length itself does shows in the scores of the texts without their filler.

The selected term is the query's rarest by the collection's own document frequencies.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol, runtime_checkable

from ..corpora.collection import Collection
from ..signals.frequency import Frequencies, tokenize
from .contrast import Contrast, contrast, Minimal, Tokenizing
from .edits import Editor, HasTokens, sentences


PLACES: Final = 5  # where TFC2 puts a term or filler


@runtime_checkable
class Reads(Tokenizing, Protocol):
    """A model that reads texts, and how it does."""

    tokens: HasTokens


@dataclass(frozen=True, eq=False)
class Candidate:
    """A query and a document of a collection, from which minimal pairs are made."""

    qid: str
    docid: str
    query: str
    document: str
    terms: tuple[str, ...]  # of the query, rarest first
    chance: random.Random  # its own, so that no other candidate changes its draws

    def minimal(self, base: str, more: str) -> Minimal:
        return Minimal(self.query, base, more, self.terms[0], self.qid, self.docid)


@dataclass(frozen=True, eq=False)
class Axioms:
    """Builds contrasts for one model from one collection, the same for the same seed.

    `synonyms` maps a term to a word close in meaning, for STMC1; without it the collection's
    words are searched with `near`, such as `neighbours` of a model's word embeddings.
    """

    model: Reads
    collection: Collection
    seed: int = 0
    synonyms: Mapping[str, str] | None = None
    near: Callable[[str, list[str]], str | None] | None = None

    def tfc1(self, n: int, *, prepend: bool = False) -> Contrast:
        """One more occurrence of the selected term, at the end or at the beginning."""

        def make(c: Candidate) -> Minimal:
            size = self.editor.size(c.terms[0])
            return self._beside(c, self.editor.fill(size), c.terms[0], prepend=prepend)

        return self._build("TFC1-prepend" if prepend else "TFC1", n, make)

    def stmc1(self, n: int) -> Contrast:
        """A word close in meaning to the selected term, in place of the term itself."""

        def make(c: Candidate) -> Minimal | str:
            close = self._synonym(c.terms[0])
            if close is None:
                return "without a word close to the term"
            return self._beside(c, self.editor.fill(self.editor.size(close)), close)

        return self._build("STMC1", n, make)

    def tfc2(self, n: int, occurrences: int) -> Contrast:
        """The selected term in the first `occurrences` of five places, filler in the rest."""
        if not 1 <= occurrences <= PLACES:
            raise ValueError(f"TFC2 has 1 to {PLACES} occurrences, not {occurrences}")

        def make(c: Candidate) -> Minimal:
            filler = self.editor.fill(self.editor.size(c.terms[0]))
            document = self._shortened(c, PLACES * self.editor.size(c.terms[0]))
            more = [c.terms[0]] * occurrences + [filler] * (PLACES - occurrences)
            return c.minimal(spread(document, [filler] * PLACES), spread(document, more))

        return self._build(f"TFC2-{occurrences}", n, make)

    def lnc2(self, n: int, added: int = 1) -> Contrast:
        """`added` sentences of another query's document, against as much filler."""
        if not 1 <= added <= 4:
            raise ValueError(f"LNC2 adds 1 to 4 sentences, not {added}")

        def make(c: Candidate) -> Minimal | str:
            other = c.chance.choice([q for q in self._qids if q != c.qid] or [c.qid])
            found = sentences(self.collection.documents[self.collection.candidates[other][0]])
            text = " ".join(found[:added])
            if other == c.qid or len(found) < added:
                return "without enough sentences of another query's document"
            if set(tokenize(text)) & set(c.terms[:1]):
                return "with the term in the irrelevant sentences"
            return self._beside(c, self.editor.fill(self.editor.size(text)), text)

        return self._build(f"LNC2-{added}", n, make)

    def tdc(self, n: int) -> Contrast:
        """The rarest query term, against the commonest."""

        def make(c: Candidate) -> Minimal | str:
            rare, common = c.terms[0], c.terms[-1]
            if rare == common or self.idf(rare) - self.idf(common) < 0.5:
                return "without a rare and a common query term"
            longest = max(self.editor.size(rare), self.editor.size(common))

            def padded(term: str) -> str:
                filler = self.editor.fill(longest - self.editor.size(term))
                return f"{term} {filler}".strip()

            return self._beside(c, padded(common), padded(rare))

        return self._build("TDC", n, make)

    def control(self, n: int) -> Contrast:
        """A word of the collection that is in neither the query nor the document."""

        def make(c: Candidate) -> Minimal | str:
            known = {*tokenize(c.query), *tokenize(c.document)}
            for word in c.chance.sample(self._words, min(50, len(self._words))):
                if word not in known:
                    return self._beside(c, self.editor.fill(self.editor.size(word)), word)
            return "without a word to inject"

        return self._build("control", n, make)

    # --- the parts they share ----------------------------------------------------------

    def _build(self, signal: str, n: int, make: Callable[[Candidate], Minimal | str]) -> Contrast:
        """The first `n` pairs that can be made and that align; the rest counted by reason."""
        made: list[Minimal] = []
        skipped: dict[str, int] = {}
        for candidate in self._candidates():
            if len(made) >= 2 * n:  # as many again as are wanted, in case some do not align
                break
            found = make(candidate) if candidate.terms else "without a term in the query"
            if isinstance(found, str):
                skipped[found] = skipped.get(found, 0) + 1
            else:
                made.append(found)
        return contrast(self.model, signal, made, most=n, skipped=skipped)

    def _candidates(self) -> Iterator[Candidate]:
        """One document of every query, then a second of every query, and so on."""
        drawn = {}
        for qid in self._qids:
            docids = sorted(self.collection.candidates[qid])
            random.Random(f"{self.seed} {qid}").shuffle(docids)
            drawn[qid] = docids
        for turn in range(max(map(len, drawn.values()), default=0)):
            for qid in self._qids:
                if turn < len(drawn[qid]):
                    docid = drawn[qid][turn]
                    query = self.collection.queries[qid]
                    yield Candidate(
                        qid,
                        docid,
                        query,
                        self.collection.documents[docid],
                        self.terms(query),
                        random.Random(f"{self.seed} {qid} {docid}"),
                    )

    def terms(self, query: str) -> tuple[str, ...]:
        """The words of a query, rarest first; of equals, the alphabet decides."""
        words = {word for word in tokenize(query) if word.isalnum() and len(word) > 1}
        return tuple(sorted(words, key=lambda word: (-self.idf(word), word)))

    def idf(self, term: str) -> float:
        return self.frequencies.idf(term)

    def _beside(self, c: Candidate, base: str, more: str, *, prepend: bool = False) -> Minimal:
        """The document with one or the other text after it, or before it."""
        document = self._shortened(c, self.editor.size(base) + 2)
        if prepend:
            return c.minimal(f"{base} {document}", f"{more} {document}")
        return c.minimal(f"{document} {base}", f"{document} {more}")

    def _shortened(self, c: Candidate, added: int) -> str:
        return self.editor.shorten(c.document, c.query, added)

    def _synonym(self, term: str) -> str | None:
        if self.synonyms is not None:
            return self.synonyms.get(term)
        return self.near(term, self._words) if self.near is not None else None

    @cached_property
    def editor(self) -> Editor:
        return Editor(self.model.tokens)

    @cached_property
    def frequencies(self) -> Frequencies:
        """Of words, over all documents of the collection."""
        return Frequencies.of(tokenize(text) for text in self.collection.documents.values())

    @cached_property
    def _qids(self) -> list[str]:
        """The queries with candidates, shuffled by seed."""
        qids = sorted(qid for qid, docids in self.collection.candidates.items() if docids)
        random.Random(f"{self.seed}").shuffle(qids)
        return qids

    @cached_property
    def _words(self) -> list[str]:
        """Words that a few documents use: neither names seen once nor grammar."""
        n = self.frequencies.n_documents
        return sorted(
            str(word)
            for word, df in self.frequencies.df.items()
            if 2 <= df <= max(2, n // 20) and str(word).isalpha() and len(str(word)) > 2
        )


def spread(document: str, inserted: list[str]) -> str:
    """`inserted` texts after sentences of the document, evenly; the surplus at its end."""
    parts = sentences(document)
    after: dict[int, list[str]] = {}
    for i, text in enumerate(inserted):
        place = min((i + 1) * max(len(parts) // len(inserted), 1), len(parts))
        after.setdefault(place, []).append(text)
    woven = [
        text for place, part in enumerate(parts, start=1) for text in (part, *after.get(place, []))
    ]
    return " ".join(woven)
