"""Claims: what somebody reports of a mechanism, and the test that any model can be put to.

A claim is refuted or confirmed by figures, each with its control; the members that the test
finds in a model stand beside those that are known of published checkpoints.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, TypeVar

import pandas as pd

from crosslens import Unit

from .figure import Figure


Evidence = TypeVar("Evidence")  # what a test uses: a model, texts, and what was measured


@dataclass(frozen=True)
class Known:
    """The members that a source names for a checkpoint, and how sure that source is."""

    members: frozenset[Unit]
    source: str
    sure: str  # "authors' code", "read off one figure", "recalled", "traced by this project"


@dataclass(frozen=True)
class Verdict:
    """What a test found in one model, and on how many pairs."""

    claim: str
    checkpoint: str
    holds: bool | None  # None: the figures do not decide
    says: str  # one sentence, with the figures that decide
    figures: tuple[Figure, ...] = ()
    members: frozenset[Unit] = frozenset()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict, compare=False)
    pairs: int = 0  # of query and document

    @classmethod
    def by(
        cls,
        claim: str,
        checkpoint: str,
        figures: Sequence[Figure],
        *,
        says: str = "",
        members: frozenset[Unit] = frozenset(),
        tables: Mapping[str, pd.DataFrame] | None = None,
        pairs: int = 0,
    ) -> "Verdict":
        """The verdict that the figures come to.

        A figure that fails refutes the claim. It holds if a figure decides, all that do hold, and
        none that should decide is missing. Without a sentence of its own the verdict names the
        figures that decided, or those that are missing.
        """
        decisive = [each for each in figures if each.holds is not None]
        failed = [each for each in decisive if not each.holds]
        absent = [each for each in figures if each.is_missing]
        holds = False if failed else None if absent or not decisive else True
        if failed:
            named = "; ".join(f"{each}, expected {each.expected}" for each in failed)
        else:
            named = "; ".join(map(str, absent or decisive))
        text = says or named or "no figure decides"
        return cls(
            claim, checkpoint, holds, text, tuple(figures), members, dict(tables or {}), pairs
        )

    @classmethod
    def undecided(cls, claim: str, checkpoint: str, why: str) -> "Verdict":
        """Nothing could be measured, and why."""
        return cls(claim, checkpoint, None, why)

    @property
    def deciding(self) -> Figure | None:
        """The first figure that refutes the claim, or one that is missing, or the last passed."""
        decisive = [each for each in self.figures if each.holds is not None]
        failed = [each for each in decisive if not each.holds]
        absent = [each for each in self.figures if each.is_missing]
        return next(iter(failed or absent or decisive[-1:]), None)

    def frame(self) -> pd.DataFrame:
        """One row per figure."""
        columns = list(Figure.__dataclass_fields__)
        table = pd.DataFrame([asdict(each) for each in self.figures], columns=columns)
        table["holds"] = table["holds"].astype("boolean")  # None is an answer, not a missing one
        return table.assign(claim=self.claim)

    def record(self) -> dict[str, Any]:
        """The verdict as one row of a table."""
        deciding = self.deciding
        return {
            "claim": self.claim,
            "checkpoint": self.checkpoint,
            "holds": self.holds,
            "pairs": self.pairs,
            "says": self.says,
            "figure": deciding.name if deciding else "",
            **{
                key: getattr(deciding, key) if deciding else float("nan")
                for key in ("value", "low", "high", "control")
            },
            "expected": deciding.expected if deciding else "",
            "reason": deciding.reason if deciding else self.says,
            "members": " ".join(map(str, sorted(self.members))),
        }

    def __str__(self) -> str:
        return sentence(self.record())


HOLDS = {True: "holds", False: "does not hold", None: "is undecided"}


def sentence(record: Mapping[str, Any]) -> str:
    """A row of the table of claims in words: whether it holds, on how many pairs, and why."""
    word = HOLDS[None if pd.isna(record["holds"]) else bool(record["holds"])]
    pairs = f" on {record['pairs']} pairs" if record["pairs"] else ""
    return f"{record['claim']} {word} in {record['checkpoint']}{pairs}: {record['says']}"


@dataclass(frozen=True)
class Claim(Generic[Evidence]):
    """A mechanism that somebody reports, and how to find out whether a model has it."""

    name: str
    claim: str
    test: str
    source: str
    known: Mapping[str, Known]  # by checkpoint
    detect: Callable[[Evidence], Verdict]  # NotMeasurable: these texts or this model allow no test
