"""BM25: rarity times saturated frequency, added over the terms of the query.

    BM25(q, d) = Σ_{t in q} IDF(t) · tf / (tf + k1 · (1 − b + b · |d| / avgdl))

This is Lucene's convention, "lucene" in bm25s and in Kamphuis et al. (2020): IDF is
ln(1 + (N − df + ½) / (df + ½)) and the factor k1 + 1, which changes no ranking, is left out. A
term that occurs twice in the query counts twice.
"""

import hashlib
import json
import math
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, runtime_checkable, TypeVar

import bm25s
import numpy as np
from jaxtyping import Float

from .frequency import Frequencies, Idf, idf_lucene, Number, term_counts, tokenize, UNSEEN, WORD


def saturation(
    tf: Number, length: Number, mean_length: Number, *, k1: Number = 1.2, b: Number = 0.75
) -> float:
    """tf / (tf + k1 (1 − b + b · length / mean_length)): 0 without the term, 1 in the limit."""
    return tf / (tf + k1 * (1 - b + b * length / mean_length))


def bm25_terms(
    query_terms: Iterable[Hashable],
    document_terms: Sequence[Hashable],
    frequencies: Frequencies,
    *,
    k1: Number = 1.2,
    b: Number = 0.75,
    idf: Idf = idf_lucene,
) -> dict[Hashable, float]:
    """What each distinct term of the query adds to the score of the document."""
    tf = term_counts(document_terms)
    length, mean = len(document_terms), frequencies.mean_length

    def adds(term: Hashable, times: int) -> float:
        if not tf[term]:
            return 0.0  # also where k1 = 0 would make it 0 / 0
        frequency = saturation(tf[term], length, mean, k1=k1, b=b)
        return times * frequencies.idf(term, idf) * frequency

    return {term: adds(term, times) for term, times in term_counts(query_terms).items()}


def bm25(
    query_terms: Iterable[Hashable],
    document_terms: Sequence[Hashable],
    frequencies: Frequencies,
    *,
    k1: Number = 1.2,
    b: Number = 0.75,
    idf: Idf = idf_lucene,
) -> float:
    """The BM25 score of a document for a query, both given as their terms."""
    parts = bm25_terms(query_terms, document_terms, frequencies, k1=k1, b=b, idf=idf)
    return math.fsum(parts.values())


Kept = TypeVar("Kept")

# what `tokenize` makes of a text: part of the name of what is kept
TOKENS: Final = hashlib.sha256(
    f"{WORD.pattern} {sorted(UNSEEN)} {unicodedata.unidata_version}".encode()
).hexdigest()[:8]


@runtime_checkable
class OnDisk(Protocol):
    """Documents that stay on disk; what is made of them is kept there too."""

    def keep(self, name: str, write: Callable[[Path], None], read: Callable[[Path], Kept]) -> Kept:
        """What `read` finds in the folder that `write` fills from these documents, once."""
        ...


class Bm25Index:
    """BM25 over a fixed set of documents; equal to `bm25`, and fast.

    The index of documents that stay on disk is made once and kept beside them; it is mapped into
    memory, not read.

    Args:
        documents: document id to text.
        k1, b: saturation and length normalisation.
        terms: how a text is cut into terms.
    """

    def __init__(
        self,
        documents: Mapping[str, str],
        *,
        k1: Number = 1.2,
        b: Number = 0.75,
        terms: Callable[[str], Sequence[Hashable]] = tokenize,
    ):
        self.k1, self.b, self.terms = k1, b, terms
        self._docids = list(documents)
        self._row = {docid: row for row, docid in enumerate(self._docids)}
        if isinstance(documents, OnDisk) and terms is tokenize:
            self._index, self.frequencies = documents.keep(
                f"bm25-{float(k1)!r}-{float(b)!r}-{TOKENS}",
                lambda folder: save(*self._counted(documents), folder),
                saved,
            )
        else:
            self._index, self.frequencies = self._counted(documents)
        self._column = {term: column for column, term in enumerate(self.frequencies.df)}

    def _counted(self, documents: Mapping[str, str]) -> "tuple[bm25s.BM25, Frequencies]":
        """The index and the frequencies of the documents, whose terms are numbers at once."""
        column: dict[Hashable, int] = {}
        rows = [
            np.array([column.setdefault(term, len(column)) for term in self.terms(text)], np.int32)
            for text in documents.values()
        ]
        mean = sum(map(len, rows)) / len(rows) if rows else 0.0
        Frequencies(len(rows), {}, mean)  # refuses texts without a term, of which bm25s makes nan
        index = bm25s.BM25(k1=self.k1, b=self.b, method="lucene", dtype="float64")
        known = {f"{i}": i for i in column.values()}  # bm25s wants numbers or texts: ours are any
        index.index((rows, known), create_empty_token=False, show_progress=False)
        df = np.diff(index.scores["indptr"]).tolist()
        return index, Frequencies(len(rows), dict(zip(column, df, strict=True)), mean)

    def __call__(self, query: str, documents: Sequence[str]) -> Float[np.ndarray, " document"]:
        """The scores of any texts, by the statistics of the indexed ones."""
        terms = self.terms(query)
        known = self.frequencies
        return np.array(
            [bm25(terms, self.terms(each), known, k1=self.k1, b=self.b) for each in documents]
        )

    def scores(
        self, query: str, docids: Sequence[str] | None = None
    ) -> Float[np.ndarray, " document"]:
        """The scores of the indexed documents, or of `docids`, in their order.

        Raises:
            LookupError: a document that is not indexed.
        """
        if docids is None:
            return self._scores(query)
        unknown = [docid for docid in docids if docid not in self._row]
        if unknown:
            raise LookupError(
                f"document {unknown[0]!r} is not among the {len(self._row):,} indexed "
                f"({len(unknown)} unknown in all)"
            )
        return self._scores(query)[[self._row[docid] for docid in docids]]

    def top(self, query: str, depth: int = 100) -> list[tuple[str, float]]:
        """The best documents and their scores, ties by id; only those that share a term."""
        scores = self._scores(query)
        rows = np.flatnonzero(scores > 0)
        if 0 < depth < len(rows):  # all that score as the last of the best does
            place = len(rows) - depth
            rows = rows[scores[rows] >= np.partition(scores[rows], place)[place]]
        found = [(self._docids[row], float(scores[row])) for row in rows]
        return sorted(found, key=lambda each: (-each[1], each[0]))[:depth]

    def _scores(self, query: str) -> Float[np.ndarray, " document"]:
        columns = [self._column[term] for term in self.terms(query) if term in self._column]
        if not columns:
            return np.zeros(len(self._row))
        return self._index.get_scores_from_ids(columns)


def save(index: bm25s.BM25, frequencies: Frequencies, folder: Path) -> None:
    """Writes an index over terms that are texts into a folder."""
    index.save(str(folder), show_progress=False)
    facts = {
        "documents": frequencies.n_documents,
        "mean length": frequencies.mean_length,
        "terms": list(frequencies.df),
    }
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def saved(place: Path) -> tuple[bm25s.BM25, Frequencies]:
    """The index that `save` kept, mapped into memory, and its frequencies."""
    index = bm25s.BM25.load(str(place), mmap=True)
    facts = json.loads((place / "facts.json").read_text(encoding="utf-8"))
    df = np.diff(index.scores["indptr"]).tolist()
    known = dict(zip(facts["terms"], df, strict=True))
    return index, Frequencies(facts["documents"], known, facts["mean length"])
