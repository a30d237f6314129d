"""What a report asks, and what it asks it of."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from ..contrasts.axioms import Axioms
from ..contrasts.contrast import Contrast
from ..model.encoder import CrossEncoder


CONTROL: Final = "control"

# In the order of the report.
SIGNALS: Final[dict[str, Callable[[Axioms, int], Contrast]]] = {
    "TFC1": lambda axioms, n: axioms.tfc1(n),
    "STMC1": lambda axioms, n: axioms.stmc1(n),
    "TFC2": lambda axioms, n: axioms.tfc2(n, 5),
    "LNC2": lambda axioms, n: axioms.lnc2(n),
    "TDC": lambda axioms, n: axioms.tdc(n),
    CONTROL: lambda axioms, n: axioms.control(n),
}


@dataclass(frozen=True)
class Question:
    """Everything that decides what a report finds, but the model and the texts themselves.

    Attributes:
        model, collection: by the names they were asked for.
        pairs: how many pairs of each contrast are patched, at most.
        seed: draws pairs, control words and bootstrap samples.
        ranking_pairs: how many query-document pairs are ranked, at most.
        tokens: how long the pairs of contrasts may be; longer documents lose their end.
        signals: which contrasts are measured; the control always is.
    """

    model: str
    collection: str
    pairs: int = 8
    seed: int = 0
    ranking_pairs: int = 600
    tokens: int = 64
    signals: tuple[str, ...] = tuple(SIGNALS)

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
            raise ValueError(f"no contrast is called {unknown[0]!r}; known are {', '.join(SIGNALS)}")
        if CONTROL not in self.signals:  # without it no reaction could be told from a twitch
            object.__setattr__(self, "signals", (*self.signals, CONTROL))

    @property
    def config(self) -> dict[str, Any]:
        return asdict(self)


def fingerprint(model: CrossEncoder) -> str:
    """SHA-256, in hexadecimal, of the model's weights and of how its score is read."""
    seen = hashlib.sha256(f"{model.relevance} {model.tokens.limit}".encode())
    for name, value in sorted(model.state_dict().items()):
        seen.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        seen.update(value.detach().cpu().contiguous().reshape(-1).numpy().tobytes())
    return seen.hexdigest()
