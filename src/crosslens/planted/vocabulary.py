"""The WordPieces a planted model knows, and in how many documents each occurs.

Every letter and every continuation `##letter` is a piece, so any English text can be cut
into known pieces; common words, common endings and the frequent words of the given
documents are whole.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from tokenizers import normalizers, pre_tokenizers

from ..corpora.reading import embedded
from ..signals.frequency import Frequencies
from .tokenizer import SPECIAL, tokenizer, UNKNOWN


CHARACTERS: Final = (
    "abcdefghijklmnopqrstuvwxyz0123456789"
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
    "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}"
    "\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}"
    "\N{EN DASH}\N{EM DASH}\N{HORIZONTAL ELLIPSIS}\N{BULLET}\N{DEGREE SIGN}"
    "\N{EURO SIGN}\N{POUND SIGN}\N{PERCENT SIGN}"
)
ENDINGS: Final = """
s es ed ing er ers est ly ion ions tion tions ation ations ment ments ness less ful able ible
al ally ic ical ics ous ive ity ies ist ists ism ize ized izing ise ised ate ated ates ating
age ages ant ants ent ents ance ence ary ery ory ure ship ships hood ward wards like wise
man men son ton ville land berg stein ford ology ologist itis osis emia graph graphy meter
th st nd rd en an on in or ar le el et ia um us is os as re de te ne se ce ge ve ke
""".split()
BEGINNINGS: Final = """
un re in im dis mis non pre pro post anti auto bio co de ex inter intra micro mono multi neuro
over para photo poly psycho semi sub super tele thermo trans tri ultra under
""".split()
MOST_WORDS: Final = 20_000  # of a large collection, the most frequent; the rest is cut in pieces


def common_words() -> list[str]:
    """Words that any English text uses, from the list beside this file."""
    return (files("crosslens.planted") / "words.txt").read_text("utf-8").split()


def pieces_for(documents: Sequence[str]) -> list[str]:
    """The vocabulary, special tokens first; the same for the same documents."""
    normalise = normalizers.BertNormalizer().normalize_str
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    counts = Counter(word for text in documents for word, _ in split(normalise(text)))
    characters = sorted({*CHARACTERS, *(letter for word in counts for letter in word)})
    frequent = sorted(
        (w for w, times in counts.items() if times > 1), key=lambda w: (-counts[w], w)
    )
    pieces = [
        *SPECIAL,
        *characters,
        *(f"##{each}" for each in [*characters, *ENDINGS]),
        *BEGINNINGS,
        *common_words(),
        *frequent[:MOST_WORDS],
    ]
    return list(dict.fromkeys(pieces))


def frequencies_in(documents: Sequence[str]) -> Frequencies:
    """The document frequency of every piece, those that never occur included.

    `mean_length` is in pieces, without special tokens.
    """
    if isinstance(documents, str):
        raise TypeError(f"documents are a sequence of texts; found one text, {documents[:40]!r}")
    if not documents:
        raise ValueError("no documents to count words in; leave `documents` out for the default")
    pieces = pieces_for(documents)
    cut = tokenizer(pieces).backend_tokenizer.encode_batch(documents, add_special_tokens=False)
    counted = Frequencies.of([encoding.tokens for encoding in cut])
    terms = [UNKNOWN, *pieces[len(SPECIAL) :]]
    df: dict[Hashable, int] = {piece: counted.df.get(piece, 0) for piece in terms}
    return Frequencies(counted.n_documents, df, counted.mean_length)


@cache
def default_frequencies() -> Frequencies:
    """Those of the collection that comes with the package."""
    return frequencies_in(list(embedded().documents.values()))


@dataclass(frozen=True)
class Lexicon:
    """Which pieces there are, which of them mean the same, and how rare each meaning is.

    `concept` gives every synonym the first word of its cluster; a piece that is not in it
    stands for itself. `frequencies` counts concepts.
    """

    pieces: tuple[str, ...]
    concept: Mapping[str, str]
    frequencies: Frequencies

    @classmethod
    def of(cls, counted: Frequencies, synonyms: Sequence[Sequence[str]]) -> "Lexicon":
        """The document frequencies of synonyms add up.

        The sum, at most the number of documents, is exact where no document holds two of them.
        """
        concept = {word: cluster[0] for cluster in synonyms for word in cluster}
        missing = sorted(word for word in concept if word not in counted.df)
        if missing:
            raise ValueError(
                f"synonyms {missing} are no single pieces of the vocabulary; use frequent words, "
                "or `documents` in which they occur more than once"
            )
        most = counted.n_documents
        df: dict[Hashable, int] = {}
        for piece, n in counted.df.items():
            term = concept.get(str(piece), piece)
            df[term] = min(most, df.get(term, 0) + n)
        pieces = (*SPECIAL, *(str(piece) for piece in counted.df if piece != UNKNOWN))
        return cls(pieces, concept, Frequencies(most, df, counted.mean_length))

    def term(self, piece: str) -> str:
        """What a piece stands for."""
        return self.concept.get(piece, piece)
