"""How often terms occur: in one document, and across a collection.

A term is anything that can be counted: a word, a WordPiece, a token id.
"""

import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import regex


# letters, digits, underscores, with the marks that combine with them; inside of a word also what
# no reader sees: soft hyphens, joiners and non-joiners
WORD: Final = regex.compile(r"[\w\p{M}](?:[\w\p{M}]|[\u00ad\u200c\u200d\u2060](?=[\w\p{M}]))*")
UNSEEN: Final = dict.fromkeys(map(ord, "\u00ad\u200c\u200d\u2060"))

Number = int | float  # spelt out, as the shape checks of the test run take an int for no float

# from the number of documents with the term and the number of documents to an IDF
Idf = Callable[[int, int], float]


def tokenize(text: str) -> list[str]:
    """The words of a text as terms: runs of Unicode letters, marks, digits and underscores.

    Words that a reader takes for the same are the same term, however they are encoded; see `term`.
    No stemming, no stop words: what a reader would underline is what is counted.
    """
    return [term(word) for word in WORD.findall(text)]


def term(word: str) -> str:
    """The word case-folded, in Unicode's composed form, compatibility characters replaced (NFKC).

    "Cafés" is one term whether its accent is a character of its own or not. Soft hyphens and
    joiners, which no reader sees, are left out.
    """
    if word.isascii():
        return word.lower()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).casefold())
    return folded.translate(UNSEEN)


def term_counts(terms: Iterable[Hashable]) -> Counter[Hashable]:
    """How often each term occurs."""
    return Counter(terms)


def idf_lucene(df: int, n_documents: int) -> float:
    """ln(1 + (N − df + ½) / (df + ½)), in nats; positive even for a term in every document."""
    return math.log(1 + (n_documents - df + 0.5) / (df + 0.5))


def idf_robertson(df: int, n_documents: int) -> float:
    """ln((N − df + ½) / (df + ½)), in nats: the Robertson and Spärck Jones weight (1976).

    Negative for a term in more than half of the documents; nothing is clipped here.
    """
    return math.log((n_documents - df + 0.5) / (df + 0.5))


@dataclass(frozen=True)
class Frequencies:
    """What BM25 knows of a collection.

    Attributes:
        n_documents: how many documents there are, N.
        df: term to the number of documents that contain it.
        mean_length: mean number of terms in a document, avgdl.

    Raises:
        ValueError: no document has a term, or a term is in more documents than there are.
    """

    n_documents: int
    df: Mapping[Hashable, int]
    mean_length: float

    def __post_init__(self) -> None:
        if self.n_documents < 1 or self.mean_length <= 0:
            raise ValueError(
                f"frequencies need a document with a term in it; found {self.n_documents} "
                f"documents of mean length {self.mean_length}"
            )
        most = max(self.df.values(), default=0)
        if most > self.n_documents:
            raise ValueError(
                f"a term is said to be in {most} documents of a collection of {self.n_documents}"
            )

    @classmethod
    def of(cls, documents: Iterable[Sequence[Hashable]]) -> "Frequencies":
        """Counted over documents, each given as its sequence of terms.

        Raises:
            TypeError: a document is a text, not its terms.
        """
        df: Counter[Hashable] = Counter()
        n_documents = n_terms = 0
        for terms in documents:
            if isinstance(terms, str):
                raise TypeError(
                    f"a document is a sequence of terms, found the text {terms[:40]!r}; "
                    "cut it with `tokenize` first"
                )
            n_documents += 1
            n_terms += len(terms)
            df.update(dict.fromkeys(terms, 1))  # in order, so that runs agree
        return cls(n_documents, dict(df), n_terms / n_documents if n_documents else 0.0)

    def idf(self, term: Hashable, convention: Idf = idf_lucene) -> float:
        """How rare the term is, in nats; a term never seen is the rarest of all."""
        return convention(self.df.get(term, 0), self.n_documents)
