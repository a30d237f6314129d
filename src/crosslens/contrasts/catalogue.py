"""What there is to contrast: every signal by its name, and a set of them in one call."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from ..corpora.collection import Collection
from ..sites import near as did_you_mean
from .axioms import Axioms
from .candidates import Reads
from .contrast import Contrast


class Axiom(NamedTuple):
    """One signal: how its two sides differ, what that isolates, what BM25 makes of it."""

    base: str
    more: str
    isolates: str
    bm25: str
    build: Callable[[Axioms, int], tuple[Contrast, ...]]


AXIOMS: Final[Mapping[str, Axiom]] = MappingProxyType(
    {
        "TFC1": Axiom(
            "filler after the document",
            "a query term after the document",
            "one more exact match",
            "rises",
            lambda axioms, n: (axioms.tfc1(n),),
        ),
        "TFC1-prepend": Axiom(
            "filler before the document",
            "a query term before the document",
            "one more exact match, at the other end",
            "rises",
            lambda axioms, n: (axioms.tfc1(n, prepend=True),),
        ),
        "STMC1": Axiom(
            "filler after the document",
            "a word close in meaning to a query term",
            "one soft match",
            "does not react",
            lambda axioms, n: (axioms.stmc1(n),),
        ),
        "TFC2": Axiom(
            "filler in place of a query term, in five places",
            "the term in the first 1 to 5 of them",
            "saturation",
            "rises less and less",
            lambda axioms, n: axioms.saturation(n),
        ),
        "LNC2": Axiom(
            "filler after the document",
            "1 to 4 sentences that match nothing",
            "irrelevant content; length, where the filler is left out",
            "does not react; falls, where the filler is left out",
            lambda axioms, n: axioms.irrelevance(n),
        ),
        "TDC": Axiom(
            "the commonest query term after the document",
            "the rarest query term after the document",
            "term discrimination, IDF",
            "rises",
            lambda axioms, n: (axioms.tdc(n),),
        ),
        "control": Axiom(
            "filler after the document",
            "a word that is in neither query nor document",
            "nothing: what an edit does by itself",
            "does not react",
            lambda axioms, n: (axioms.control(n),),
        ),
    }
)


def contrasts(
    model: Reads,
    collection: Collection,
    names: Iterable[str] = ("TFC1", "STMC1", "TFC2", "LNC2", "TDC", "control"),
    *,
    n: int = 32,
    seed: int = 0,
    near: Callable[[str, list[str]], str | None] | None = None,
) -> tuple[Contrast, ...]:
    """The contrasts of these signals, `n` pairs each; TFC2 and LNC2 are five and four.

    `near` proposes a word for STMC1, as in `Axioms`.

    Raises:
        LookupError: no signal has one of the names.
        NotMeasurable: a signal is left without a pair; says why, with counts.
    """
    names = list(names)
    for name in names:
        if name not in AXIOMS:
            raise LookupError(f"no signal is called {name!r}; {did_you_mean(name, AXIOMS)}")
    axioms = Axioms(model, collection, seed, near=near)
    return tuple(each for name in names for each in AXIOMS[name].build(axioms, n))
