"""Claims: what somebody reports of a mechanism, and the test that any model can be put to.

A claim is refuted or confirmed by figures, each with its control; the members that the test
finds in a model stand beside those that are known of published checkpoints.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import pandas as pd

from crosslens import Unit


Evidence = TypeVar("Evidence")  # what a test looks at: a model, texts, and what was measured


@dataclass(frozen=True)
class Known:
    """The members that a source names for a checkpoint, and how sure that source is."""

    members: frozenset[Unit]
    source: str
    sure: str  # "authors' code", "read off one figure", "recalled", "traced by this project"


@dataclass(frozen=True)
class Figure:
    """One measured number of a test: what it is, its interval, its control, what was expected.

    `holds` is None where the figure informs and decides nothing.
    """

    name: str
    value: float
    low: float = float("nan")  # 95 % bootstrap interval
    high: float = float("nan")
    control: float = float("nan")  # the same of what should not show it
    n: int = 0  # pairs, heads or tokens behind it
    expected: str = ""
    holds: bool | None = None


@dataclass(frozen=True)
class Verdict:
    """What a test found in one model."""

    claim: str
    checkpoint: str
    holds: bool | None  # None: the figures do not decide
    says: str  # one sentence, with the figures that decide
    figures: tuple[Figure, ...] = ()
    members: frozenset[Unit] = frozenset()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict, compare=False)

    def frame(self) -> pd.DataFrame:
        """One row per figure."""
        return pd.DataFrame([vars(each) for each in self.figures]).assign(claim=self.claim)

    def __str__(self) -> str:
        word = {True: "holds", False: "does not hold", None: "is undecided"}[self.holds]
        return f"{self.claim} {word} in {self.checkpoint}: {self.says}"


@dataclass(frozen=True)
class Claim(Generic[Evidence]):
    """A mechanism that somebody reports, and how to find out whether a model has it."""

    name: str
    claim: str
    test: str
    source: str
    known: Mapping[str, Known]  # by checkpoint
    detect: Callable[[Evidence], Verdict]
