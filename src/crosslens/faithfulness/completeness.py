"""Completeness: whether a circuit answers to the loss of its parts as the whole model does.

    |f(C \\ K) - f(M \\ K)|    for sets K of the circuit's members

A circuit can be faithful and lack the backups that speak when a member is silent: taken from
the circuit, that member is missed; taken from the model, it is not (Wang et al., 2022, section
4). Sets K are nothing, random ones, and those of a greedy search for the largest difference.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ..attribution.edges.edge_graph import all_parts, called, in_order, Part, parts
from ..by_pair import by_pair
from ..contrasts.contrast import Contrast
from ..hooks import Hooked
from .nodes import keep_nodes
from .restored import Faithfulness, over_pairs


@dataclass(frozen=True, eq=False)
class Completeness:
    """What is left of a circuit, and of the model, without some members of the circuit."""

    signal: str
    removed: tuple[frozenset[Part], ...]  # K
    chosen: tuple[str, ...]  # how each K was: nothing, random, greedy
    circuit: Float[Tensor, "set pair"]  # f(C \ K)
    model: Float[Tensor, "set pair"]  # f(M \ K)

    @cached_property
    def gap(self) -> Float[Tensor, "set pair"]:
        """How far the two are apart: 0 where the circuit answers as the model does."""
        return (self.circuit - self.model).abs()

    @property
    def worst(self) -> frozenset[Part]:
        """The set without which circuit and model differ most, on average over pairs."""
        return self.removed[int(self.gap.nanmean(dim=1).argmax())]

    def frame(self) -> pd.DataFrame:
        """One row per set and pair."""
        return by_pair(self._names(), circuit=self.circuit, model=self.model, gap=self.gap)

    def summary(self, *, seed: int = 0) -> pd.DataFrame:
        """One row per set: the mean gap, its 95 % bootstrap interval, pairs."""
        return pd.DataFrame({**self._names(), **over_pairs(self.gap, seed=seed)})

    def _names(self) -> dict[str, Sequence[str]]:
        return {
            "signal": [self.signal] * len(self.removed),
            "removed": [" ".join(map(called, in_order(k))) for k in self.removed],
            "chosen": self.chosen,
        }


def completeness(
    model: Hooked,
    contrast: Contrast,
    circuit: Iterable[Part | str],
    *,
    keep: Callable[..., Faithfulness] = keep_nodes,
    everything: Iterable[Part] | None = None,
    n_random: int = 10,
    n_greedy: int | None = None,
    seed: int = 0,
) -> Completeness:
    """How differently `circuit` and the model fare without the same parts.

    Args:
        circuit: of nodes, or of edges where `keep` keeps those.
        keep: `keep_nodes`, `keep_edges`, or one of them with options.
        everything: what the whole model is made of; by default all its nodes, or edges.
        n_random: how many random sets, each member in or out by a coin.
        n_greedy: how many members the greedy search takes away; by default all of them, at a
            cost that grows with the square of the circuit.

    Raises:
        ValueError: an empty circuit.
    """
    members = parts(circuit)
    if not members:
        raise ValueError("an empty circuit has no part to take away")
    whole = all_parts(model, members) if everything is None else frozenset(everything)
    order = in_order(members)  # so that a seed means one draw
    dice = random.Random(seed)
    random_sets = [
        frozenset(part for part in order if dice.random() < 0.5) for _ in range(n_random)
    ]
    tried: dict[frozenset[Part], tuple[str, Tensor, Tensor]] = {}

    def take_away(how: str, sets: Iterable[frozenset[Part]]) -> None:
        new = [k for k in dict.fromkeys(sets) if k not in tried]
        if new:
            circuits = [side - k for k in new for side in (members, whole)]
            restored = keep(model, contrast, circuits).restored
            found = zip(restored[::2], restored[1::2], strict=True)
            tried.update({k: (how, *both) for k, both in zip(new, found, strict=True)})

    take_away("nothing", [frozenset()])
    take_away("random", random_sets)
    gone: frozenset[Part] = frozenset()
    for _ in range(len(order) if n_greedy is None else min(n_greedy, len(order))):
        larger = [gone | {part} for part in order if part not in gone]
        take_away("greedy", larger)
        gone = max(larger, key=lambda k: float((tried[k][1] - tried[k][2]).abs().nanmean()))
    how, alone, rest = zip(*tried.values(), strict=True)
    return Completeness(contrast.signal, tuple(tried), how, torch.stack(alone), torch.stack(rest))
