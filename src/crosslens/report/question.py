"""What a report measures: the options of a run, and the signals that there are."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from crosslens.circuits.reaction import CONTROL
from crosslens.circuits.thresholds import SCORED


Watch = Callable[[str, int, int], None]  # the step, how much of it is done, how much there is


class Signal(NamedTuple):
    """One contrast of the report, and the levels it comes in, if there are several."""

    title: str
    level: int = 0  # which of them is patched
    levels: str = ""


# In the order of the report; how the two texts differ, `contrasts.catalogue.AXIOMS` says.
SIGNALS: Final[dict[str, Signal]] = {
    "TFC1": Signal("One more exact match"),
    "STMC1": Signal("One soft match"),
    "TFC2": Signal("Many matches", 4, "occurrences of the term"),
    "LNC2": Signal("Irrelevant content", 0, "irrelevant sentences"),
    "TDC": Signal("A rare term against a common one"),
    CONTROL: Signal("Control: a word that means nothing here"),
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
        tokens: how long the pairs of contrasts may be, where an edit needs no more; longer
            documents lose their end.
        signals: which contrasts are measured; the control always is.
        circuit: whether claims are tested and the circuit is traced.
        edges: whether the circuit's edges are scored, each on its own; takes minutes.
    """

    model: str
    collection: str
    pairs: int = 10
    scored: int = SCORED
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
        if CONTROL not in self.signals:  # a reaction is one beyond the control's
            object.__setattr__(self, "signals", (*self.signals, CONTROL))

    @property
    def config(self) -> dict[str, Any]:
        return asdict(self)
