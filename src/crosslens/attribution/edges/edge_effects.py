"""Edge effects: what each part of a model tells each other part, pair by pair."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...arrays import array
from ...circuit import Edge
from ...sites import near, Unit
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

    @cached_property
    def exists(self) -> Bool[Tensor, "sender receiver"]:
        """Which senders come before which receivers."""
        read = [receiver.site.depth for receiver in self.receivers]
        before = [[sender.site.depth < depth for depth in read] for sender in self.senders]
        return torch.tensor(before, device=self.recovered.device)

    @property
    def edges(self) -> list[Edge]:
        """Every edge, sender by sender."""
        return [Edge(self.senders[s], self.receivers[r]) for s, r in self.exists.nonzero().tolist()]

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
        edges, n_pairs = self.edges, len(self.base)
        columns = {
            "edge": [written(edge) for edge in edges],
            "sender": [written(edge.sender) for edge in edges],
            "receiver": [written(edge.receiver) for edge in edges],
        }
        return pd.DataFrame(
            {
                "signal": self.signal,
                **{name: np.repeat(values, n_pairs) for name, values in columns.items()},
                "pair": np.tile(np.arange(n_pairs), len(edges)),
                "recovered": array(self.recovered[self.exists].flatten()),
            }
        )
