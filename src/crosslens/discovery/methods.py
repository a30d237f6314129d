"""The methods by name: each gives one number per unit, the larger the likelier a member.

    found = discover(model, contrast, model.heads(), "attribution patching")
    found.largest(10)

A method is a function from (model, contrast, units) to one number per unit, or edges in place
of units. To add one is to add a line here; `crosslens.analyses.discovery` then measures it on
planted circuits, beside all others.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from ..circuit import Edge
from ..contrasts.contrast import Contrast
from ..hooks import Hooked
from ..sites import near, Unit
from . import edges, effects, single_run
from .chance import at_random


Part = Unit | Edge
Numbers = Callable[[Hooked, Contrast, Sequence[Any]], Float[Tensor, " part"]]


def is_head(part: Part) -> bool:
    return isinstance(part, Unit) and part.site.name == "z"


def is_unit(part: Part) -> bool:
    return isinstance(part, Unit)


def is_edge(part: Part) -> bool:
    return isinstance(part, Edge)


def is_part(part: Part) -> bool:
    return True


@dataclass(frozen=True)
class Method:
    """One way to rank the parts of a model."""

    name: str
    asks: str  # what its numbers are
    numbers: Numbers
    ranks: Callable[[Part], bool]  # which parts it can rank
    source: str = ""


@dataclass(frozen=True, eq=False)
class Discovery:
    """What a method made of the parts of a model, and how long it took."""

    method: str
    signal: str
    parts: tuple[Part, ...]
    numbers: Float[Tensor, " part"]  # the larger, the likelier a member
    seconds: float

    @property
    def ranking(self) -> list[Part]:
        """Every part, the likeliest member first; of equals, the earlier."""
        order = self.numbers.argsort(descending=True, stable=True)
        return [self.parts[i] for i in order.tolist()]

    def largest(self, n: int) -> list[Part]:
        """The `n` likeliest members."""
        return self.ranking[:n]

    def frame(self) -> pd.DataFrame:
        """One row per part."""
        return pd.DataFrame(
            {
                "method": self.method,
                "signal": self.signal,
                "part": [str(part) for part in self.parts],
                "number": self.numbers.double().numpy(force=True),
            }
        )


def discover(
    model: Hooked, contrast: Contrast, parts: Sequence[Part], by: str | Method
) -> Discovery:
    """Rank `parts`, units or edges, by a method or by the one with this name.

    Raises:
        LookupError: no method has the name.
        ValueError: no parts, or one that the method cannot rank.
    """
    method = method_called(by) if isinstance(by, str) else by
    if not parts:
        raise ValueError("no parts to rank")
    for part in parts:
        if not method.ranks(part):
            able = ", ".join(each.name for each in METHODS.values() if each.ranks(part))
            raise ValueError(f"{method.name!r} cannot rank {part}; those that can: {able}")
    start = time.perf_counter()
    numbers = method.numbers(model, contrast, parts)
    seconds = time.perf_counter() - start
    return Discovery(method.name, contrast.signal, tuple(parts), numbers, seconds)


def method_called(name: str) -> Method:
    """The method with this name."""
    if name not in METHODS:
        raise LookupError(f"no method is called {name!r}; {near(name, METHODS)}")
    return METHODS[name]


def methods_for(parts: Sequence[Part]) -> list[Method]:
    """The methods that can rank all of these: units of any kind, heads, or edges."""
    return [method for method in METHODS.values() if all(map(method.ranks, parts))]


METHODS: Final[Mapping[str, Method]] = MappingProxyType(
    {
        method.name: method
        for method in (
            Method(
                "patching",
                "what it restores of the contrast, patched from the side with the signal",
                effects.restored,
                is_unit,
                "Vig et al. (2020); Lu et al. (2025)",
            ),
            Method(
                "patching reversed",
                "what of the contrast is lost, patched from the side without the signal",
                effects.taken,
                is_unit,
                "Vig et al. (2020)",
            ),
            Method(
                "zero ablation",
                "how far the score moves when it says nothing",
                partial(effects.lost, fixed=effects.to_zero),
                is_unit,
            ),
            Method(
                "mean ablation",
                "how far the score moves when it says what it says on average",
                partial(effects.lost, fixed=effects.to_mean),
                is_unit,
                "Wang et al. (2022)",
            ),
            Method(
                "search",
                "what it restores, of the fifth that attribution patching picks; 0 of the rest",
                effects.searched,
                is_unit,
            ),
            Method(
                "attribution patching",
                "what it would restore, were the score linear in it",
                effects.estimated,
                is_unit,
                "Nanda (2023); Syed et al. (2023)",
            ),
            Method(
                "attribution patching, 5 steps",
                "the same with the slope at five points on the way",
                partial(effects.estimated, steps=5),
                is_unit,
                "Hanna et al. (2024), for units",
            ),
            Method(
                "AtP*",
                "the same with exact softmax of q and k, and each block left out in turn",
                effects.by_reads,
                is_unit,
                "Kramár et al. (2024)",
            ),
            Method(
                "EAP, summed",
                "the sizes of its outgoing edges, to first order",
                effects.by_edges,
                is_head,
                "Syed et al. (2023)",
            ),
            Method(
                "EAP-IG, summed",
                "the same with slopes at five points on the way",
                partial(effects.by_edges, steps=5),
                is_head,
                "Hanna et al. (2024)",
            ),
            Method(
                "conductance",
                "its flow on the way from padding to the words",
                partial(effects.flow, baseline=effects.from_padding),
                is_unit,
                "Dhamdhere et al. (2018)",
            ),
            Method(
                "conductance from base",
                "its flow on the way from the side without the signal",
                partial(effects.flow, baseline=effects.from_base),
                is_unit,
                "Dhamdhere et al. (2018)",
            ),
            Method(
                "gradient x activation",
                "its activation times the slope of the score there",
                single_run.gradient_times_activation,
                is_unit,
            ),
            Method(
                "chain",
                "what a member of the traced chain tells those it was found by; 0 for the rest",
                effects.in_chain,
                is_head,
                "Lu et al. (2025), section 4",
            ),
            Method(
                "path patching to the score",
                "what it restores on its way to the score that passes no other head",
                effects.toward_the_score,
                is_head,
                "Wang et al. (2022); Lu et al. (2025)",
            ),
            Method(
                "direct attribution",
                "what it writes for the score to read, not by way of others, to first order",
                effects.direct_attribution,
                is_head,
                "nostalgebraist (2020); Elhage et al. (2021)",
            ),
            Method(
                "activation difference",
                "how far it lies apart on the two sides",
                single_run.activation_difference,
                is_unit,
            ),
            Method(
                "attention to matches",
                "how much query tokens attend to their copies in the document",
                single_run.attending,
                is_head,
            ),
            Method(
                "written of matches",
                "how large what query tokens write of their copies is",
                single_run.writing,
                is_head,
                "Kobayashi et al. (2020)",
            ),
            Method(
                "edge patching",
                "what it restores on its own, all else held",
                edges.restored,
                is_edge,
                "Wang et al. (2022)",
            ),
            Method(
                "EAP",
                "what it tells its reader, to first order",
                edges.estimated,
                is_edge,
                "Syed et al. (2023)",
            ),
            Method(
                "EAP-IG",
                "the same with slopes at five points on the way",
                partial(edges.estimated, steps=5),
                is_edge,
                "Hanna et al. (2024)",
            ),
            Method(
                "product of ends",
                "what its two ends restore, to first order, multiplied",
                edges.by_ends,
                is_edge,
            ),
            Method("random", "the control: any order", at_random, is_part),
        )
    }
)
