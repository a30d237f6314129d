"""Attribution schemes: sets of neurons, chosen by flow, intersected and fused.

    P, N      the top share of neurons by mean flow in relevant, in other pairs
    A & B     their intersection, over collections or classes
    fuse      the mean of several flows, cut at the top share: P (+) N of Vast et al. (2024)

A set keeps its names from the flow to the verdict, and is saved as a mask with its description.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from safetensors.numpy import load_file, save

from ..not_measurable import NotMeasurable
from ..sites import Site, Unit
from ..writing import write_whole
from .neurons import Neurons


@dataclass(frozen=True, eq=False)
class Scheme:
    """Some of a model's neurons, and the name of the rule that chose them.

    Raises:
        ValueError: not one mark for each neuron.
    """

    name: str
    neurons: Neurons
    chosen: Bool[np.ndarray, " neuron"]
    made: Mapping[str, Any] = field(default_factory=dict)  # model, collection, share, ...

    def __post_init__(self) -> None:
        if len(self.chosen) != len(self.neurons):
            raise ValueError(
                f"{self.name}: {len(self.chosen)} marks for {len(self.neurons)} neurons"
            )

    @classmethod
    def top(
        cls,
        name: str,
        neurons: Neurons,
        flow: Float[np.ndarray, " neuron"],
        share: float,
        made: Mapping[str, Any] | None = None,
    ) -> "Scheme":
        """The `share` of neurons with the largest flow, signed, as the paper ranks them.

        Neurons that tie where the share ends are left out, as those without any flow do: nothing
        says which of them to take.

        Raises:
            NotMeasurable: all neurons have the same flow.
            ValueError: the share is not in (0, 1], or is less than one neuron; or a flow is no
                number.
        """
        n = round(share * len(neurons))
        if not 0 < share <= 1 or n < 1:
            raise ValueError(
                f"the top {share:.4%} of {len(neurons)} neurons is {n} of them: the share lies "
                f"between {1 / len(neurons):.4%} and 100 %"
            )
        if not np.isfinite(flow).all():
            raise ValueError(f"{name}: the flow of {int((~np.isfinite(flow)).sum())} is no number")
        if np.ptp(flow) == 0:
            raise NotMeasurable(f"{name}: all {len(neurons)} neurons have the flow {flow[0]:g}")
        best = np.sort(flow)[::-1]
        chosen = flow > best[n] if n < len(best) and best[n] == best[n - 1] else flow >= best[n - 1]
        return cls(name, neurons, chosen, {"share": share, **(made or {})})

    @classmethod
    def fused(
        cls,
        name: str,
        neurons: Neurons,
        flows: Sequence[Float[np.ndarray, " neuron"]],
        share: float,
        made: Mapping[str, Any] | None = None,
    ) -> "Scheme":
        """The top of the mean of several flows.

        Raises:
            ValueError: there is no flow to fuse, or the share is less than one neuron.
        """
        if not flows:
            raise ValueError(f"{name}: no flow to fuse")
        return cls.top(name, neurons, np.mean(flows, axis=0), share, made)

    def __len__(self) -> int:
        return int(self.chosen.sum())

    def __and__(self, other: "Scheme") -> "Scheme":
        """The neurons of both."""
        self._check_same(other)
        return Scheme(f"{self.name} & {other.name}", self.neurons, self.chosen & other.chosen)

    @property
    def units(self) -> list[Unit]:
        """The neurons by name."""
        return self.neurons.units(np.flatnonzero(self.chosen).tolist())

    def overlap(self, other: "Scheme") -> float:
        """The share of the smaller set that is in the other, 0 to 1; 0 where one is empty."""
        self._check_same(other)
        smaller = min(len(self), len(other))
        return float((self.chosen & other.chosen).sum() / smaller) if smaller else 0.0

    def random(self, generator: np.random.Generator) -> "Scheme":
        """As many random neurons in each layer, none of them chosen here: the control."""
        drawn = np.zeros_like(self.chosen)
        for layer in np.unique(self.neurons.layers):
            here = self.neurons.layers == layer
            free = np.flatnonzero(here & ~self.chosen)
            n = min(int((self.chosen & here).sum()), len(free))
            drawn[generator.choice(free, n, replace=False)] = True
        return Scheme(f"random for {self.name}", self.neurons, drawn)

    def save(self, stem: Path | str) -> Path:
        """Write `stem`.safetensors, a mask per site, and `stem`.json, what they mean."""
        stem = Path(stem)
        parts = self.neurons.split(self.chosen)
        masks = {str(site): np.ascontiguousarray(mask) for site, mask in parts.items()}
        write_whole(stem.with_suffix(".safetensors"), save(masks))
        described = {
            "name": self.name,
            "n": len(self),
            "sites": {str(site): list(shape) for site, shape in self.neurons.shapes.items()},
            "made": dict(self.made),
        }
        return write_whole(stem.with_suffix(".json"), json.dumps(described, indent=1).encode())

    @classmethod
    def load(cls, stem: Path | str) -> "Scheme":
        """The scheme saved under `stem`.

        Raises:
            ValueError: the two files do not belong together.
        """
        stem = Path(stem)
        described = json.loads(stem.with_suffix(".json").read_text())
        masks = load_file(stem.with_suffix(".safetensors"))
        shapes = {_site(name): tuple(shape) for name, shape in described["sites"].items()}
        found = {_site(name): mask for name, mask in masks.items()}
        if {site: mask.shape for site, mask in found.items()} != shapes:
            raise ValueError(f"{stem}.safetensors holds other sites than {stem}.json says")
        chosen = np.concatenate([found[site].ravel() for site in shapes]).astype(bool)
        if int(chosen.sum()) != described["n"]:
            raise ValueError(
                f"{stem}.safetensors marks {int(chosen.sum())} neurons, {stem}.json says "
                f"{described['n']}"
            )
        return cls(described["name"], Neurons(shapes), chosen, described["made"])

    def _check_same(self, other: "Scheme") -> None:
        if dict(self.neurons.shapes) != dict(other.neurons.shapes):
            raise ValueError(f"{self.name} and {other.name} are of models of different sizes")


def intersection(name: str, schemes: Sequence[Scheme]) -> Scheme:
    """The neurons that all of `schemes` chose.

    Raises:
        ValueError: there is no scheme.
    """
    if not schemes:
        raise ValueError(f"{name}: no scheme to intersect")
    common = reduce(lambda a, b: a & b, schemes)
    return Scheme(name, common.neurons, common.chosen)


def _site(written: str) -> Site:
    layer, _, name = written.partition(".")
    return Site(name, int(layer))
