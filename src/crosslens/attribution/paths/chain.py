"""A chain of path patching: who writes the score, who tells those, who tells them in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from ...circuit import Circuit, Edge
from ...sites import Site, Unit
from ..edges.edge_names import LOGITS
from ..patching.effects import Effects


SCORE: Final = "score"


@dataclass(frozen=True, eq=False)
class Step:
    """What every sender tells some receivers by one of their reads: a test for each sender.

    `summary` has a row per sender: mean, 95 % interval, pairs, p, q over all tests of the
    chain up to this stage, and whether it is `chosen`.
    """

    stage: int  # from 1, the score
    read: str  # "score", "q", "k", "v" or "mlp"
    receivers: tuple[Unit, ...]  # overwritten together; none: the score
    effects: Effects
    signals: tuple[str, ...]  # of each pair
    summary: pd.DataFrame

    @property
    def chosen(self) -> tuple[Unit, ...]:
        """The senders found, strongest first."""
        size = self.summary["mean"].abs().to_numpy()
        chosen = self.summary["chosen"].to_numpy()
        order = np.argsort(-size, kind="stable")
        return tuple(self.effects.units[i] for i in order if chosen[i])

    @property
    def to(self) -> str:
        """The receivers in words."""
        return " ".join(map(str, self.receivers)) or SCORE


@dataclass(frozen=True, eq=False)
class Chain:
    """What `trace` found: stages of path patching from the score downwards.

    `steps` has, stage by stage, one test of every sender for each way of reading, then one of
    the senders found for each receiver alone. `kinds` says of each head what it does, judged
    by its attention (`Reading.kind`).
    """

    steps: tuple[Step, ...]
    kinds: Mapping[Unit, str]
    alpha: float
    share: float
    stopped: str  # why there is no further stage

    def __repr__(self) -> str:
        return f"Chain({self.n_stages} stages, {len(self.steps)} steps: {self.stopped})"

    @property
    def n_stages(self) -> int:
        """How many stages found anything."""
        return max((step.stage for step in self.steps if step.chosen), default=0)

    def stage(self, number: int) -> tuple[Unit, ...]:
        """The units found first at this stage, from 1, the strongest first."""
        earlier = {unit for n in range(1, number) for unit in self._of(n)}
        return tuple(unit for unit in self._of(number) if unit not in earlier)

    def _of(self, number: int) -> list[Unit]:
        found: dict[Unit, float] = {}
        for step in self.steps:
            if step.stage == number:
                for unit in step.chosen:
                    size = float(step.effects.of(unit).nanmean().abs())
                    found[unit] = max(size, found.get(unit, 0.0))
        return sorted(found, key=lambda unit: -found[unit])

    @property
    def members(self) -> tuple[tuple[Unit, ...], ...]:
        """The units of each stage that found any."""
        return tuple(self.stage(number) for number in range(1, self.n_stages + 1))

    @property
    def edges(self) -> dict[Edge, float]:
        """Who tells whom, and the mean share of the contrast that this restores.

        From a head's z, or what an MLP or an embedding table writes, to a head's q, k or v,
        to what an MLP reads, or to the logits.
        """
        found: dict[Edge, float] = {}
        for step in self.steps:
            if len(step.receivers) > 1:
                continue
            (receiver,) = step.receivers or (LOGITS,)
            for unit in step.chosen:
                found[Edge(unit, receiver)] = float(step.effects.of(unit).nanmean())
        return found

    def frame(self) -> pd.DataFrame:
        """One row per step, sender and pair."""
        return self._labelled([_per_pair(step) for step in self.steps])

    def summary(self) -> pd.DataFrame:
        """One row per step and sender: all tests of the chain."""
        return self._labelled([step.summary for step in self.steps])

    def _labelled(self, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
        labelled = [
            table.drop(columns="base target".split(), errors="ignore")
            .rename(columns={"unit": "sender"})
            .assign(stage=step.stage, read=step.read, to=step.to)
            for step, table in zip(self.steps, tables, strict=True)
        ]
        return pd.concat(labelled, ignore_index=True)

    def circuit(self, name: str, checkpoint: str) -> Circuit:
        """The chain as a claim: its members by role, and its edges.

        Heads that write the score are "relevance scoring". Of the others, those that read the
        added word because it is the term are "matching", those that read the query from the
        query are "contextual query representation"; see `Reading.kind`. What is no head goes
        by its kind: "embedding", "MLP".
        """
        roles: dict[str, set[Unit]] = {}
        for number, units in enumerate(self.members, start=1):
            for unit in units:
                is_head = unit in self.kinds
                role = self.kinds[unit] if is_head else _kind(unit.site)
                if is_head and number == 1:
                    role = "relevance scoring"
                roles.setdefault(role, set()).add(unit)
        signals = dict.fromkeys(signal for step in self.steps for signal in step.signals)
        return Circuit(
            name,
            checkpoint,
            {role: frozenset(units) for role, units in roles.items()},
            f"traced by path patching of {' and '.join(signals)}",
            frozenset(self.edges),
        )

    def __str__(self) -> str:
        lines = []
        for number, units in enumerate(self.members, start=1):
            to = SCORE if number == 1 else f"stage {number - 1}"
            lines.append(f"stage {number} -> {to}: {' '.join(map(str, units)) or 'none new'}")
        lines += [f"  {edge}  {mean:+.3f}" for edge, mean in self.edges.items()]
        return "\n".join([*(lines or ["nothing writes the score"]), f"({self.stopped})"])


def _kind(site: Site) -> str:
    return "MLP" if site.name.startswith("mlp") else "embedding"


def _per_pair(step: Step) -> pd.DataFrame:
    signals = np.tile(np.array(step.signals), len(step.effects.units))
    return step.effects.frame().assign(signal=signals)
