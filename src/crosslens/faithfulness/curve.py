"""A curve: what circuits of growing size restore, and the areas that sum it up.

    CPR = area under f            large: small circuits do much (1 at best, more if they overdo it)
    CMD = area under |1 - f|      small: small circuits do the same as the whole model (0 at best)

over the share of the graph that is kept, by the trapezoid rule on a linear axis, as MIB has it
(Mueller et al., 2025). A share is that of the parts kept, not the share asked for:
a graph of a few nodes has no thousandth.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ..attribution.edges.edge_graph import Part
from ..contrasts.contrast import Contrast
from ..hooks import Hooked
from .growing import growing, SHARES
from .nodes import keep_nodes
from .restored import Faithfulness, over_pairs


@dataclass(frozen=True, eq=False)
class Curve:
    """The faithfulness of circuits that grow.

    Raises:
        ValueError: fewer than two sizes, or circuits that are not in the order of their sizes.
    """

    of: Faithfulness

    def __post_init__(self) -> None:
        n_members = [len(circuit) for circuit in self.of.circuits]
        if n_members != sorted(n_members) or len(set(n_members)) < 2:
            raise ValueError(f"a curve needs circuits of growing size; found sizes {n_members}")

    @cached_property
    def cpr(self) -> Float[Tensor, " pair"]:
        """The area under f, pair by pair."""
        return self._area(self.of.restored)

    @cached_property
    def cmd(self) -> Float[Tensor, " pair"]:
        """The area between f and 1, pair by pair."""
        return self._area((1 - self.of.restored).abs())

    def size_for(self, restored: float) -> int | None:
        """How many parts the smallest of these circuits has that restores so much on average.

        None if none does.
        """
        enough = (self.of.mean >= restored).nonzero().flatten().tolist()
        return len(self.of.circuits[enough[0]]) if enough else None

    def frame(self) -> pd.DataFrame:
        """One row per size and pair."""
        return self.of.frame()

    def summary(self, *, seed: int = 0) -> pd.DataFrame:
        """CPR and CMD: mean, 95 % bootstrap interval, pairs."""
        areas = torch.stack([self.cpr, self.cmd])
        named = {"signal": self.of.signal, "measure": ["CPR", "CMD"]}
        return pd.DataFrame({**named, **over_pairs(areas, seed=seed)})

    def _area(self, height: Float[Tensor, "circuit pair"]) -> Float[Tensor, " pair"]:
        share = self.of.shares.to(height)
        return torch.trapezoid(height, share, dim=0)


def curve(
    model: Hooked,
    contrast: Contrast,
    ranking: Sequence[Part],
    *,
    keep: Callable[..., Faithfulness] = keep_nodes,
    shares: Sequence[float] = SHARES,
) -> Curve:
    """What the first of a ranking restore, at growing shares of the graph: one sweep.

    Args:
        ranking: every node, or every edge, the most important first.
        keep: `keep_nodes`, `keep_edges`, or one of them with options: `partial(keep_nodes,
            rest=ablate)`.
        shares: of the graph, growing from 0 up to 1.

    Raises:
        ValueError: a ranking that lacks some of the graph, or names a part twice.
    """
    if twice := len(ranking) - len(set(ranking)):
        raise ValueError(f"the ranking names {twice} parts more than once")
    found = keep(model, contrast, growing(ranking, shares))
    if found.n_all != len(ranking):
        raise ValueError(
            f"the ranking has {len(ranking)} parts, the graph {found.n_all}: rank them all, or "
            "keep circuits of your own and give Curve what they restore"
        )
    return Curve(found)
