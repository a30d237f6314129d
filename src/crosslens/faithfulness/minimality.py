"""Minimality: what each member adds to a circuit, given the rest of it.

    f(C \\ K) - f(C \\ K \\ {v})    for member v, and a set K of others

A member that stands in for another adds nothing while that one is there: K takes it away, and
of the sets tried the one that shows most of v counts (Wang et al., 2022, section 4).

With the whole model as the circuit and one K, the same figure finds backups: what is it that
matters only since K is gone?

    minimality(model, contrast, nodes_of(model), without=[{head(7, 9)}])
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ..attribution.edges.edge_graph import called, in_order, Part, parts
from ..by_pair import by_pair
from ..contrasts.contrast import Contrast
from ..hooks import Hooked
from .nodes import keep_nodes
from .restored import Faithfulness, over_pairs


@dataclass(frozen=True, eq=False)
class Minimality:
    """What each member adds, pair by pair."""

    signal: str
    members: tuple[Part, ...]
    without: tuple[frozenset[Part], ...]  # for each member the set K given which it adds most
    adds: Float[Tensor, "member pair"]

    def of(self, member: Part) -> Float[Tensor, " pair"]:
        """What one member adds."""
        if member not in self.members:
            raise LookupError(f"{called(member)} is none of the {len(self.members)} members")
        return self.adds[self.members.index(member)]

    def frame(self) -> pd.DataFrame:
        """One row per member and pair."""
        return by_pair(self._names(), adds=self.adds)

    def summary(self, *, seed: int = 0) -> pd.DataFrame:
        """One row per member: the mean of what it adds, its 95 % bootstrap interval, pairs."""
        return pd.DataFrame({**self._names(), **over_pairs(self.adds, seed=seed)})

    def _names(self) -> dict[str, list[str]]:
        return {
            "signal": [self.signal] * len(self.members),
            "member": list(map(called, self.members)),
            "without": [" ".join(map(called, in_order(k))) for k in self.without],
        }


def minimality(
    model: Hooked,
    contrast: Contrast,
    circuit: Iterable[Part | str],
    *,
    keep: Callable[..., Faithfulness] = keep_nodes,
    without: Iterable[Iterable[Part | str]] | None = None,
) -> Minimality:
    """What each member adds to `circuit`, without some others.

    Args:
        circuit: of nodes, or of edges where `keep` keeps those.
        keep: `keep_nodes`, `keep_edges`, or one of them with options.
        without: the sets K to try; by default none and every other member on its own, at a
            cost that grows with the square of the circuit. A member in K is not measured by it.

    Raises:
        ValueError: an empty circuit, or a member that is in every K.
    """
    whole = parts(circuit)
    if not whole:
        raise ValueError("an empty circuit has no member")
    sets = (
        [frozenset(), *(frozenset([other]) for other in in_order(whole))]
        if without is None
        else [parts(k) for k in without]
    )
    order = in_order(v for v in whole if not all(v in k for k in sets))
    if not order:
        raise ValueError("every member is in every set that is taken away: none is left to measure")
    tried = [(v, k) for v in order for k in sets if v not in k]
    circuits = dict.fromkeys(c for v, k in tried for c in (whole - k, whole - k - {v}))
    restored = dict(zip(circuits, keep(model, contrast, circuits).restored, strict=True))

    best: dict[Part, tuple[frozenset[Part], Tensor]] = {}
    for v, k in tried:
        adds = restored[whole - k] - restored[whole - k - {v}]
        if v not in best or adds.nanmean().abs() > best[v][1].nanmean().abs():
            best[v] = k, adds
    chosen, adds = zip(*best.values(), strict=True)
    return Minimality(contrast.signal, tuple(order), chosen, torch.stack(adds))
