"""Edge effects: what each part of a model tells each other part, pair by pair."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...by_pair import by_pair
from ...circuit import Edge
from ...contrasts.contrast import Contrast
from ...sites import near, Unit
from ..patching.recovery import recovered_share
from .edge_graph import edges_at, is_before
from .edge_names import edge as edge_called, written


@dataclass(frozen=True, eq=False)
class EdgeEffects:
    """What each edge restores of a contrast, pair by pair.

    `recovered` is nan where the receiver comes before the sender, and in pairs that have no
    contrast to recover.
    """

    signal: str
    senders: tuple[Unit, ...]
    receivers: tuple[Unit, ...]
    recovered: Float[Tensor, "sender receiver pair"]
    base: Float[Tensor, " pair"]  # the score without the signal
    target: Float[Tensor, " pair"]  # the score with it
    is_flat: tuple[bool, ...]  # pairs that score alike on both sides: skipped

    @classmethod
    def of_change(
        cls,
        contrast: Contrast,
        senders: Sequence[Unit],
        receivers: Sequence[Unit],
        change: Float[Tensor, "sender receiver pair"],
        base: Float[Tensor, " pair"],
        target: Float[Tensor, " pair"],
        *,
        least: float | None = None,
    ) -> "EdgeEffects":
        """The effects of edges each of which changes the score of the base by `change`.

        `least` as in `recovered_share`.
        """
        recovered, is_flat = recovered_share(change, base, target, least=least)
        recovered[~is_before(senders, receivers)] = torch.nan
        ends = tuple(senders), tuple(receivers)
        return cls(contrast.signal, *ends, recovered, base, target, is_flat)

    @cached_property
    def exists(self) -> Bool[Tensor, "sender receiver"]:
        """Which senders come before which receivers."""
        return is_before(self.senders, self.receivers).to(self.recovered.device)

    @property
    def edges(self) -> list[Edge]:
        """Every edge, sender by sender."""
        return edges_at(self.exists, self.senders, self.receivers)

    @cached_property
    def mean(self) -> Float[Tensor, "sender receiver"]:
        """The mean effect of each edge over the pairs that have a contrast."""
        return self.recovered.nanmean(dim=2)

    def of(self, edge: Edge | str) -> Float[Tensor, " pair"]:
        """The effects of one edge: `effects.of("a0.h1->a3.h4<q>")`."""
        sender, receiver = edge_called(edge) if isinstance(edge, str) else edge
        for unit, known in ((sender, self.senders), (receiver, self.receivers)):
            if unit not in known:
                raise LookupError(
                    f"{written(unit)} is no end of these edges; "
                    f"{near(written(unit), map(written, known))}"
                )
        s, r = self.senders.index(sender), self.receivers.index(receiver)
        if not self.exists[s, r]:
            raise LookupError(f"{written(receiver)} comes before {written(sender)}: no such edge")
        return self.recovered[s, r]

    def strongest(self, n: int) -> list[Edge]:
        """The `n` edges whose mean effect is largest in size, largest first."""
        edges, size = self.edges, self.mean[self.exists].abs()
        return [edges[i] for i in size.argsort(descending=True, stable=True)[:n].tolist()]

    def frame(self) -> pd.DataFrame:
        """One row per edge and pair."""
        edges = self.edges
        names = {
            "signal": [self.signal] * len(edges),
            "edge": [written(edge) for edge in edges],
            "sender": [written(edge.sender) for edge in edges],
            "receiver": [written(edge.receiver) for edge in edges],
        }
        return by_pair(names, recovered=self.recovered[self.exists])
