"""What a report asks, and what it asks it of."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from ..contrasts.axioms import Axioms
from ..contrasts.catalogue import AXIOMS
from ..contrasts.contrast import Contrast


CONTROL: Final = "control"
Watch = Callable[[str, int, int], None]  # the step, how much of it is done, how much there is


class Signal(NamedTuple):
    """One contrast of the report, and the levels it comes in, if there are several."""

    title: str
    build: Callable[[Axioms, int], tuple[Contrast, ...]]
    level: int = 0  # which of them is patched
    levels: str = ""
    room: int = 0  # tokens that its edits take beyond what other pairs have


# In the order of the report; what the two sides are, `contrasts.catalogue.AXIOMS` says.
SIGNALS: Final[dict[str, Signal]] = {
    "TFC1": Signal("One more exact match", AXIOMS["TFC1"].build),
    "STMC1": Signal("One soft match", AXIOMS["STMC1"].build),
    "TFC2": Signal("Many matches", AXIOMS["TFC2"].build, 4, "occurrences of the term", room=16),
    "LNC2": Signal("Irrelevant content", AXIOMS["LNC2"].build, 0, "irrelevant sentences", room=64),
    "TDC": Signal("A rare term against a common one", AXIOMS["TDC"].build),
    CONTROL: Signal("Control: a word that means nothing here", AXIOMS[CONTROL].build),
}


@dataclass(frozen=True)
class Question:
    """Everything that decides what a report finds, but the model and the texts themselves.

    Attributes:
        model, collection: by the names they were asked for.
        pairs: how many pairs of each contrast are patched, at most.
        scored: how many are scored, to see whether the model reacts to the signal.
        seed: draws pairs, control words and bootstrap samples.
        ranking_pairs: how many query-document pairs are ranked, at most.
        tokens: how long the pairs of contrasts may be, where an edit needs no more room; longer
            documents lose their end.
        signals: which contrasts are measured; the control always is.
        circuit: whether claims are tested and the circuit is traced.
        edges: whether the circuit's edges are scored, each on its own; takes minutes.
    """

    model: str
    collection: str
    pairs: int = 10
    scored: int = 40
    seed: int = 0
    ranking_pairs: int = 600
    tokens: int = 64
    signals: tuple[str, ...] = tuple(SIGNALS)
    circuit: bool = True
    edges: bool = False

    def __post_init__(self) -> None:
        for name, value, least in (
            ("pairs", self.pairs, 2),
            ("ranking-pairs", self.ranking_pairs, 10),
            ("tokens", self.tokens, 16),
        ):
            if value < least:
                raise ValueError(f"--{name} is {value}; a report needs at least {least}")
        unknown = [name for name in self.signals if name not in SIGNALS]
        if unknown:
            raise ValueError(
                f"no contrast is called {unknown[0]!r}; known are {', '.join(SIGNALS)}"
            )
        if CONTROL not in self.signals:  # without it no reaction could be told from a twitch
            object.__setattr__(self, "signals", (*self.signals, CONTROL))

    @property
    def config(self) -> dict[str, Any]:
        return asdict(self)
