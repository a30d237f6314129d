"""Growing circuits: from how large each node or edge is, circuits of any size."""

import heapq
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Final, TypeVar

from ..attribution.edges.edge_effects import EdgeEffects
from ..attribution.edges.edge_graph import node, Part
from ..attribution.edges.edge_names import INPUT, LOGITS
from ..attribution.patching.effects import Effects
from ..circuit import Edge
from ..sites import Unit


# How much of a graph the circuits of a curve keep (MIB; Mueller et al., 2025).
SHARES: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
Ranked = TypeVar("Ranked", bound=Part)


def sizes(effects: Effects | EdgeEffects) -> dict[Part, float]:
    """The size of the mean effect of each unit, or each edge; 0 where it has none."""
    if isinstance(effects, EdgeEffects):
        found = effects.mean[effects.exists].abs().nan_to_num().tolist()
        return dict(zip(effects.edges, found, strict=True))
    found = effects.mean.abs().nan_to_num().tolist()
    return dict(zip(effects.units, found, strict=True))


def ranked(size: Mapping[Ranked, float]) -> list[Ranked]:
    """Largest first; of equals, the earlier."""
    return sorted(size, key=lambda part: -abs(size[part]))


def growing(ranking: Sequence[Ranked], shares: Sequence[float] = SHARES) -> list[frozenset[Ranked]]:
    """The first of a ranking, as many as each share of it holds whole."""
    return [frozenset(ranking[:n]) for n in counts(len(ranking), shares)]


def connected(
    size: Mapping[Edge, float], shares: Sequence[float] = SHARES
) -> list[frozenset[Edge]]:
    """From the logits down: always the largest edge into what the circuit has already.

    The greedy construction of EAP-IG (Hanna et al., 2024) and MIB: no edge of such a circuit
    is without a way to the score.
    """
    into: dict[Unit, list[Edge]] = defaultdict(list)
    for edge in size:
        into[LOGITS if edge.receiver == LOGITS else node(edge.receiver)].append(edge)
    arrival = count()  # of equals, the one that could be taken first
    taken: list[Edge] = []
    reached = {LOGITS, INPUT}
    waiting = [(-abs(size[edge]), next(arrival), edge) for edge in into[LOGITS]]
    heapq.heapify(waiting)
    while waiting:
        *_, edge = heapq.heappop(waiting)
        taken.append(edge)
        if edge.sender not in reached:
            reached.add(edge.sender)
            for before in into[edge.sender]:
                heapq.heappush(waiting, (-abs(size[before]), next(arrival), before))
    return [frozenset(taken[:n]) for n in counts(len(size), shares)]


def counts(n: int, shares: Sequence[float]) -> list[int]:
    """How many of `n` parts each share holds whole.

    Raises:
        ValueError: a share outside 0 to 1, or shares that do not grow.
    """
    grow = all(a <= b for a, b in zip(shares, shares[1:], strict=False))
    if not grow or not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"shares of a graph grow from 0 up to 1; found {list(shares)}")
    return [math.floor(share * n + 1e-9) for share in shares]  # 0.29 * 100 is 28.999...
