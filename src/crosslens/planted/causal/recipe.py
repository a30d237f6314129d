"""What to plant in a decoder, and the name that says it: `planted:causal?seed=3&layers=6`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ...signals.bm25 import bm25
from ...signals.frequency import Frequencies
from ..names import check_least, check_synonyms, options_in, options_of, PREFIX


KIND: Final = "causal"
LEAST: Final = {
    **{"seed": 0, "layers": 3, "heads": 1, "neurons": 1},
    **{"decoys": 0, "fakes": 0, "talkers": 0},
}


@dataclass(frozen=True)
class CausalRecipe:
    """A planted causal BM25 model: its size, its parts, and its parameters.

    Options are written as those of `Recipe`. There is no b: see `planted.causal.model`.

    Raises:
        ValueError: an option is out of its range, or synonyms are not clusters of different words.
    """

    seed: int = 0  # of the places of all parts and of the identity codes
    layers: int = 4
    heads: int = 4  # per layer
    neurons: int = 16  # per layer
    decoys: int = 2  # heads that attend to matches and write nothing
    fakes: int = 2  # neurons that fire and are not read
    talkers: int = 0  # decoy heads that attend to matches and write where nobody reads
    busy: bool = False  # all that is left computes something that nobody reads
    synonyms: tuple[tuple[str, ...], ...] = ()  # words that share an identity code
    k1: float = 1.2

    def __post_init__(self) -> None:
        check_least(self, LEAST)
        if not self.k1 > 1:
            raise ValueError(
                f"k1={self.k1}; of a planted causal model it is above 1: an occurrence counts "
                "itself with the weight 1, and the query has what is left, k1 - 1"
            )
        check_synonyms(self.synonyms)

    def __str__(self) -> str:
        return PREFIX + KIND + options_of(self)

    @classmethod
    def named(cls, name: str) -> "CausalRecipe":
        """The recipe with this name: "planted:causal?seed=3", or without the prefix.

        Raises:
            ValueError: a name, an option or a value that is not known; near ones are named.
        """
        return cls(**options_in(name, KIND, cls))

    def score(
        self, query: Sequence[str], document: Sequence[str], frequencies: Frequencies
    ) -> float:
        """The score of a pair of terms by `signals.bm25`, as the planted model computes it.

        A term that the query repeats counts once.
        """
        return bm25(list(dict.fromkeys(query)), document, frequencies, k1=self.k1, b=0)
