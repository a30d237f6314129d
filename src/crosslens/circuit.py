"""Claims: which units play which role in a checkpoint, and which read from which."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from .sites import Unit


class Edge(NamedTuple):
    """One unit reads what another wrote."""

    sender: Unit
    receiver: Unit

    def __str__(self) -> str:
        return f"{self.sender}->{self.receiver}"


@dataclass(frozen=True)
class Circuit:
    """A claim that `roles` explain how `checkpoint` does something.

    `directions` name lines in the embedding space along which a quantity is stored: the
    inverse document frequency of a word, for one.
    """

    name: str
    checkpoint: str
    roles: Mapping[str, frozenset[Unit]]
    source: str
    edges: frozenset[Edge] = frozenset()
    directions: Mapping[str, Float[Tensor, " d_model"]] = field(default_factory=dict)

    @property
    def units(self) -> frozenset[Unit]:
        """Every member, whatever its role."""
        return frozenset().union(*self.roles.values())

    def __iter__(self) -> Iterator[Unit]:
        return iter(sorted(self.units, key=lambda unit: (unit.site.depth, str(unit))))

    def __contains__(self, unit: Unit) -> bool:
        return unit in self.units

    def __len__(self) -> int:
        return len(self.units)

    def __str__(self) -> str:
        roles = "; ".join(
            f"{role}: {' '.join(sorted(map(str, units)))}" for role, units in self.roles.items()
        )
        return f"{self.name} in {self.checkpoint} ({roles})"
