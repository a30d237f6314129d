"""The contrasts of retrieval axioms, built from any collection.

| signal | base | more | isolates |
|---|---|---|---|
| TFC1 | d + filler | d + a query term | one more exact match |
| STMC1 | d + filler | d + a word close in meaning to a query term | one soft match |
| TFC2-K | d with filler for a query term, in 5 places | the first K restored | saturation |
| LNC2-i | d + filler | d + i sentences of other documents | irrelevant content |
| TDC | d + a common query term | d + a rare one | term discrimination, IDF |
| control | d + filler | d + a word neither in query nor document | nothing: must do little |

The edits are made in the texts, so that both sides are texts a reader can read. The side that is
shorter in tokens gets filler to the same length, as in Lu et al. (2025, section 2); then both
are tokenized anew, and a pair is kept only if the two sides agree in every token outside the
edit. A document too long for the model loses words at its end *before* the edit, never the edit.

Length itself cannot be an aligned contrast: two inputs of unequal length have no common
positions, and filler is attended to as any other word is. LNC2 therefore asks what irrelevant
sentences do that as much filler does not; a model that reads length alone scores both sides
alike (BM25 over tokens does). What length does shows in `Axioms.lengthened`, the same documents
without filler.

The selected term is the query's rarest by the collection's own document frequencies, among
those that the model reads as words of their own.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final

import torch

from ..corpora.collection import Collection
from ..pairs import Pairs
from ..signals.frequency import Frequencies, tokenize
from .candidates import Candidate, Candidates, Reads
from .contrast import aligned, Contrast, contrast, Minimal, nothing
from .edits import after, before, FILLERS, places, tokens_inside
from .roles import NAMES, roles
from .synonyms import LISTED


PLACES: Final = 5  # where TFC2 puts a term or filler
MOST_SENTENCES: Final = 4  # that LNC2 adds
SENTENCE_WORDS: Final = range(4, 41)  # how many words a sentence of LNC2 may have

Made = list[Minimal] | str  # a candidate at each level of a contrast, or why there is none

TOO_LONG = "too long even when shortened"


@dataclass(frozen=True, eq=False)
class Axioms:
    """Builds contrasts for one model from one collection, the same for the same seed.

    For STMC1, `synonyms` maps a term to a word close in meaning; without it the collection's
    words are searched with `near`, such as `Neighbours` of a model's word embeddings; without
    either a short list of common words serves. `fillers` and `terms` are as in `Candidates`.

    Every builder takes the number of pairs wanted, and gives as many as there are up to it.

    Raises:
        ValueError: no pair survives (says why, with counts), or a chosen term is not in its
            query.
    """

    model: Reads
    collection: Collection
    seed: int = 0
    synonyms: Mapping[str, str] | None = None
    near: Callable[[str, list[str]], str | None] | None = None
    fillers: tuple[str, ...] = FILLERS
    terms: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        _ = self.candidates  # says at once what is wrong with the chosen terms

    def tfc1(self, n: int, *, prepend: bool = False, control: bool = False) -> Contrast:
        """One more occurrence of the selected term, at the end or at the beginning."""

        def make(c: Candidate) -> Made:
            return self._beside(c, c.terms[0], prepend=prepend, control=control)

        return self._build("TFC1-prepend" if prepend else "TFC1", n, make, control=control)[0]

    def stmc1(self, n: int, *, control: bool = False) -> Contrast:
        """A word close in meaning to the selected term, in place of the term itself.

        The selected term is the rarest that has such a word, which is no term of the query.
        """

        def make(c: Candidate) -> Made:
            for term in c.terms:
                close = self._synonym(term)
                if close is not None and not c.query_terms & set(tokenize(close)):
                    return self._beside(c, close, term=term, control=control)
            return "without a word close to a term of the query"

        return self._build("STMC1", n, make, control=control)[0]

    def tfc2(self, n: int, occurrences: int) -> Contrast:
        """The selected term in the first `occurrences` of five places, filler in the rest.

        Raises:
            ValueError: the number of occurrences is outside 1 to 5.
        """
        if not 1 <= occurrences <= PLACES:
            raise ValueError(f"TFC2 has 1 to {PLACES} occurrences, not {occurrences}")
        return self.saturation(n)[occurrences - 1]

    def saturation(self, n: int, *, control: bool = False) -> tuple[Contrast, ...]:
        """TFC2 for 1 to 5 occurrences: the same pairs and the same base in each.

        Every occurrence of the selected term gives way to filler, so that the base has none;
        gaps between sentences make up five places. The first K are restored: what stood there,
        or the term.
        """

        def make(c: Candidate) -> Made:
            term = c.terms[0]
            size = c.editor.size(term)
            word = self._unrelated(c, size) if control else term
            if word is None:
                return "without an unrelated word"
            short = c.shortened(PLACES * (max(size, c.editor.size(word)) + 1))
            if short is None:
                return TOO_LONG
            slots = places(short.document, term, PLACES)
            full = [word if control else own or term for own in slots.own]
            base = [
                c.editor.fill(c.editor.size(each, is_first=start == 0))
                for each, (start, _) in zip(full, slots.at, strict=True)
            ]
            return [
                short.minimal(slots, base, full[:k] + base[k:], term) for k in range(1, PLACES + 1)
            ]

        names = [f"TFC2-{k}" for k in range(1, PLACES + 1)]
        return self._build(names, n, make, control=control)

    def lnc2(self, n: int, added: int = 1) -> Contrast:
        """`added` sentences of other queries' documents, against as much filler."""
        if not 1 <= added <= MOST_SENTENCES:
            raise ValueError(f"LNC2 adds 1 to {MOST_SENTENCES} sentences, not {added}")
        return self.irrelevance(n)[added - 1]

    def irrelevance(self, n: int) -> tuple[Contrast, ...]:
        """LNC2 for 1 to 4 sentences: the same documents in each.

        No sentence holds any term of the query, stop words included, so that nothing matches.
        """

        def make(c: Candidate) -> Made:
            found = self._irrelevant(c)
            if len(found) < MOST_SENTENCES:
                return "without sentences of other queries' documents that match no query term"
            texts = [" ".join(found[:i]) for i in range(1, MOST_SENTENCES + 1)]
            short = c.shortened(c.editor.size(texts[-1]) + 2)
            if short is None:
                return TOO_LONG
            return [
                short.minimal(
                    after(short.document), [c.editor.fill(c.editor.size(text))], [text], c.terms[0]
                )
                for text in texts
            ]

        return self._build([f"LNC2-{i}" for i in range(1, MOST_SENTENCES + 1)], n, make)

    def lengthened(self, n: int) -> tuple[Pairs, ...]:
        """The documents of LNC2 with 0 to 4 irrelevant sentences and no filler: not aligned.

        What these pairs score is how a model responds to length (lu2025, section 5, T4).
        """
        series = self.irrelevance(n)
        first = series[0]
        alone = self.model.pairs(
            first.base.query,
            [
                each.base[: each.edits[0][0][0]].rstrip() if each.edits else each.base
                for each in first.minimal
            ],
        )
        unedited = torch.zeros_like(alone.token, dtype=torch.bool)
        role = roles(alone.to("cpu"), first.terms, unedited.cpu()).to(alone.device)
        return (alone.with_roles(role, NAMES), *(each.more for each in series))

    def tdc(self, n: int, *, control: bool = False) -> Contrast:
        """The rarest query term, against the commonest.

        The document holds the common one at least as often, so that saturation does not speak
        for the other side.
        """

        def make(c: Candidate) -> Made:
            rare, common = c.terms[0], min(c.terms, key=self.idf)
            if self.idf(rare) - self.idf(common) < 0.5:
                return "without a rare and a common query term"
            words = tokenize(c.document)
            if words.count(rare) > words.count(common):
                return "whose document holds the rare term more often than the common one"
            return self._beside(c, rare, against=common, control=control)

        return self._build("TDC", n, make, control=control)[0]

    def control(self, n: int) -> Contrast:
        """TFC1 with a word of the collection that is in neither the query nor the document.

        It takes as many tokens as the selected term, or nearly as many if no word does, and
        shares none with the query.
        """
        return self._build(
            "control", n, lambda c: self._beside(c, c.terms[0], prepend=False, control=True)
        )[0]

    # --- the parts they share ----------------------------------------------------------

    def _build(
        self,
        signal: str | list[str],
        n: int,
        make: Callable[[Candidate], Made],
        *,
        control: bool = False,
    ) -> tuple[Contrast, ...]:
        """The first `n` candidates that can be made and align at every level of the signal."""
        if n < 1:
            raise ValueError(f"a contrast needs at least one pair, not {n}")
        names = [signal] if isinstance(signal, str) else signal
        names = [f"{name} control" if control else name for name in names]
        kept: list[list[Minimal]] = []
        skipped: Counter[str] = Counter()
        candidates = iter(self.candidates)
        # as many at a time as are missing, some more in case they do not align
        while len(kept) < n and (some := list(islice(candidates, max(2 * (n - len(kept)), 8)))):
            made = [make(each) if isinstance(each, Candidate) else each for each in some]
            flat = [minimal for each in made if not isinstance(each, str) for minimal in each]
            reasons = iter(aligned(self.model, flat)[-1] if flat else [])
            for each in made:
                if len(kept) == n:
                    break
                if isinstance(each, str):
                    skipped[each] += 1
                    continue
                wrong = [reason for _, reason in zip(each, reasons, strict=False) if reason]
                if wrong:
                    skipped[wrong[0]] += 1
                else:
                    kept.append(each)
        if not kept:
            raise nothing(f"{names[0]} in collection {self.collection.name!r}", skipped)
        return tuple(
            contrast(self.model, name, level, skipped=skipped)
            for name, level in zip(names, zip(*kept, strict=True), strict=True)
        )

    def _beside(
        self,
        c: Candidate,
        word: str,
        *,
        against: str = "",
        term: str | None = None,
        prepend: bool = False,
        control: bool = False,
    ) -> Made:
        """The document beside `word`, and beside `against` or nothing; filler evens them out."""

        def size(text: str) -> int:
            return c.editor.size(text, is_first=prepend) if text else 0

        term = term or c.terms[0]
        if control:
            unrelated = self._unrelated(c, size(word))
            other = self._unrelated(c, size(against), but=unrelated) if against else ""
            if unrelated is None or other is None:
                return "without an unrelated word"
            word, against = unrelated, other
        longest = max(size(word), size(against))
        short = c.shortened(longest + 2)
        if short is None:
            return TOO_LONG
        sides = [
            " ".join(filter(None, [text, c.editor.fill(longest - size(text))]))
            for text in (against, word)
        ]
        slots = before(short.document) if prepend else after(short.document)
        return [short.minimal(slots, [sides[0]], [sides[1]], term)]

    def _synonym(self, term: str) -> str | None:
        if self.synonyms is not None:
            return self.synonyms.get(term)
        return self.near(term, self._words) if self.near is not None else LISTED.get(term)

    def _irrelevant(self, c: Candidate) -> list[str]:
        """Sentences of other queries' documents without a term of this query, by chance."""
        own = set(self.collection.candidates[c.qid])
        others = [docid for docid in self._judged if docid not in own]
        found: list[str] = []
        for docid in c.chance.sample(others, min(len(others), 200)):
            for sentence in self.candidates.sentences(docid):
                words = tokenize(sentence)
                is_whole = len(words) in SENTENCE_WORDS and sentence.endswith((".", "!", "?"))
                if is_whole and not c.query_terms & set(words):
                    found.append(sentence)
                    if len(found) == MOST_SENTENCES:
                        return found
        return found

    def _unrelated(self, c: Candidate, size: int, *, but: str | None = None) -> str | None:
        """A word by chance, in neither query nor document, nearest to `size` tokens."""
        known = {*c.query_terms, *tokenize(c.document), but, c.editor.filler}
        drawn = c.chance.sample(self._words, min(200, len(self._words)))
        in_query = set(tokens_inside(self.model.tokens.tokenizer, c.query))
        apart = [
            word for word in drawn if word not in known and in_query.isdisjoint(self._ids(word))
        ]
        return min(apart, key=lambda word: abs(len(self._ids(word)) - size), default=None)

    def _ids(self, word: str) -> list[int]:
        """The tokens of one of the collection's words; read once."""
        if word not in self._spelt:
            self._spelt[word] = tokens_inside(self.model.tokens.tokenizer, word)
        return self._spelt[word]

    @cached_property
    def _spelt(self) -> dict[str, list[int]]:
        return {}

    def idf(self, term: str) -> float:
        """How rare a word is in the collection, in nats."""
        return self.candidates.idf(term)

    @property
    def frequencies(self) -> Frequencies:
        """Of words, over all documents of the collection."""
        return self.candidates.frequencies

    @cached_property
    def candidates(self) -> Candidates:
        """The candidates of the collection that this model can read, in the order of the seed."""
        return Candidates(self.model, self.collection, self.seed, self.fillers, self.terms)

    @cached_property
    def _words(self) -> list[str]:
        return self.candidates.words()

    @cached_property
    def _judged(self) -> list[str]:
        """Every document that is a candidate of some query."""
        return sorted({each for docids in self.collection.candidates.values() for each in docids})
