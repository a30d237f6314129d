"""Planted models of every kind that makes a circuit easy or hard to find, and what is true of each.

What counts as a member:
- heads: all that compute BM25. The contrast moves each of them.
- neurons: the length neuron. An aligned contrast never moves length, so this asks what a method
  makes of a part that the score needs and the signal does not touch. The switch of a backup
  never fires in these pairs; it counts neither as a member nor as a stranger.
- edges: those that carry the match: from the words to a matching head's keys, and on from every
  head. Other planted edges (segments, length, IDF) say the same on both sides of a contrast,
  and count neither way. A switch that stays off hides the edges from the heads it listens to.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from types import MappingProxyType
from typing import Final

import numpy as np
from jaxtyping import Bool

from crosslens import Circuit, CrossEncoder, Edge, neuron, Site, Unit
from crosslens.faithfulness import Graph
from crosslens.planted import Planted, Recipe


SYNONYMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        term: other
        for term, _, other in (
            pair.partition("/")
            for pair in """
        bank/lender pay/wages stone/rock definition/meaning purchase/buy sea/ocean fast/rapid
        car/automobile cost/price symptoms/signs
        """.split()
        )
    }
)
MOST_HEADS: Final = 32  # of models whose edges are ranked too: their number grows with its square

# two heads that attend to matches and write nothing, two that write where nobody reads; and no
# part is idle
PLAIN: Final = Recipe(layers=5, decoys=2, talkers=2, fakes=6, busy=True)
CONDITIONS: Final[Mapping[str, Recipe]] = MappingProxyType(
    {
        "plain": PLAIN,
        "tiny": replace(PLAIN, layers=3, heads=3, decoys=1, talkers=1, fakes=2),
        "small": replace(PLAIN, layers=4),
        "large": replace(PLAIN, layers=8, heads=8),
        "many decoys": replace(PLAIN, layers=6, decoys=6, talkers=6, fakes=12),
        "shared": replace(PLAIN, matchers=3),
        "suppressed": replace(PLAIN, suppressor=True),
        "contextual": replace(PLAIN, contextual=True),
        "backup": replace(PLAIN, backup=True),
        "synonyms": replace(PLAIN, synonyms=tuple(SYNONYMS.items())),
        "normalised": replace(PLAIN, normalised=True),
        "all at once": replace(
            PLAIN, layers=8, contextual=True, backup=True, suppressor=True, matchers=2
        ),
        "12 x 12": replace(PLAIN, layers=12, heads=12),  # as large as the paper's model
    }
)
SLOW: Final = "12 x 12"  # run when it is asked for
QUICK: Final = ("tiny",)
COUNTING: Final = frozenset({"matching", "backup matching", "suppression"})  # by their keys


@dataclass(frozen=True)
class Task:
    """Parts to rank, and which of them are members."""

    kind: str
    parts: Sequence[Unit | Edge]
    is_member: Bool[np.ndarray, " part"]


def tasks(planted: Planted, model: CrossEncoder) -> Iterator[Task]:
    """What there is to rank in a planted model: heads, neurons, edges."""
    circuit, recipe = planted.circuit, planted.recipe
    heads = model.heads()
    yield Task("heads", heads, np.array([unit in circuit for unit in heads]))

    silent = circuit.roles.get("backup switch", frozenset())
    every = [neuron(*at) for at in product(range(recipe.layers), range(recipe.neurons))]
    neurons = [unit for unit in every if unit not in silent]
    yield Task("neurons", neurons, np.array([unit in circuit for unit in neurons]))

    if len(heads) > MOST_HEADS:
        return
    graph = Graph.of(model)
    carrying = graph.mask(edge for edge in circuit.edges if carries_the_match(edge, circuit))
    other = graph.mask(circuit.edges) & ~carrying
    rows = zip(graph.edges, carrying[graph.exists], other[graph.exists], strict=True)
    counted = [(edge, bool(is_member)) for edge, is_member, is_other in rows if not is_other]
    yield Task("edges", [edge for edge, _ in counted], np.array([is_in for _, is_in in counted]))


def carries_the_match(edge: Edge, circuit: Circuit) -> bool:
    """Whether a planted edge leaves a head, or leads from the words to a matching head's keys."""
    counting = frozenset().union(*(circuit.roles.get(role, frozenset()) for role in COUNTING))
    keys = {Unit(Site("k", unit.site.layer), unit.coordinates) for unit in counting}
    return edge.sender.site.name == "z" or (
        edge.sender.site.name == "embed" and edge.receiver in keys
    )
