"""Neurons: every output of every linear map of a model's blocks, each with a name.

A neuron here is one output unit of q, k, v, the attention output, or one of the maps of the MLP
(Vast et al., 2024, section 3.1): 9,216 in a layer of BERT-large. Numbers over neurons are arrays
in one fixed order; this value says which neuron each number belongs to.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from ..attribution.flow.conductance import LINEAR
from ..hooks import Hooked
from ..pairs import Pairs
from ..sites import Site, Unit


@dataclass(frozen=True, eq=False)
class Neurons:
    """The neurons of some sites; `shapes` has the shape of one token's values at each."""

    shapes: Mapping[Site, tuple[int, ...]]

    @classmethod
    def of(cls, model: Hooked, pairs: Pairs, names: Sequence[str] | None = None) -> "Neurons":
        """Those at the sites called `names`, by default all linear maps the model has.

        `pairs` are any the model reads; the shortest is run once, to learn the sizes.
        """
        known = {site.name for site in model.sites()}
        # a gated MLP reads the stream through two maps
        chosen = [name for name in (*LINEAR, "mlp_pre_linear") if name in known]
        sites = [site for name in names or chosen for site in model.sites(name)]
        with torch.no_grad(), model.record(*sites) as cache:
            model(pairs.take([int(pairs.lengths.argmin())]))
        shapes = {site: tuple(cache[site].shape[2:]) for site in sorted(sites, key=_order)}
        return cls(shapes)

    def __len__(self) -> int:
        return sum(prod(shape) for shape in self.shapes.values())

    def gather(
        self, values: Mapping[Site, Float[Tensor, "pair ..."]]
    ) -> Float[np.ndarray, "pair neuron"]:
        """What sites hold for each pair, as an array of pairs by neurons, in float32."""
        parts = [values[site].flatten(1).float().numpy(force=True) for site in self.shapes]
        return np.concatenate(parts, axis=1)

    def split(self, values: Shaped[np.ndarray, "*lead neuron"]) -> dict[Site, np.ndarray]:
        """Numbers over neurons, site by site, each in the shape of one token's values.

        Raises:
            ValueError: not one number for each neuron.
        """
        if values.shape[-1] != len(self):
            raise ValueError(f"{values.shape[-1]} numbers for {len(self)} neurons")
        ends = np.cumsum([prod(shape) for shape in self.shapes.values()])[:-1]
        parts = np.split(values, ends, axis=-1)
        return {
            site: part.reshape(*values.shape[:-1], *shape)
            for (site, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def units(self, numbers: Iterable[int]) -> list[Unit]:
        """The neurons with these numbers, by name: `3.q[d_head=7,head=1]`.

        Raises:
            LookupError: a number that no neuron has.
        """
        starts = self._starts
        found = []
        for number in numbers:
            if not 0 <= number < len(self):
                raise LookupError(f"no neuron {number}: there are {len(self)}, from 0")
            place = int(np.searchsorted(starts, number, side="right")) - 1
            site, shape = list(self.shapes.items())[place]
            at = np.unravel_index(number - starts[place], shape)
            found.append(site.at(**dict(zip(site.axes[2:], map(int, at), strict=True))))
        return found

    def numbers(self, units: Iterable[Unit]) -> Int[np.ndarray, " chosen"]:
        """The numbers of these neurons.

        Raises:
            LookupError: a unit that is none of these neurons.
        """
        listed = list(self.shapes)
        found = []
        for unit in units:
            if unit.site not in self.shapes:
                raise LookupError(f"{unit} is no neuron of these {len(self)}")
            at = dict(unit.coordinates)
            shape = self.shapes[unit.site]
            place = tuple(int(at[axis]) for axis in unit.site.axes[2:])
            start = self._starts[listed.index(unit.site)]
            found.append(int(start + np.ravel_multi_index(place, shape)))
        return np.array(found, dtype=int)

    @cached_property
    def layers(self) -> Int[np.ndarray, " neuron"]:
        """The layer of each neuron."""
        return self._repeated([site.layer for site in self.shapes])

    @cached_property
    def components(self) -> Shaped[np.ndarray, " neuron"]:
        """The linear map of each neuron: "q", "mlp_pre", ..."""
        return self._repeated([site.name for site in self.shapes])

    def table(self, chosen: Bool[np.ndarray, " neuron"] | None = None) -> pd.DataFrame:
        """How many neurons there are by layer and component, of all or of the chosen ones.

        One row per layer and component with any, columns layer, component and n.
        """
        kept = np.ones(len(self), dtype=bool) if chosen is None else chosen
        rows = pd.DataFrame({"layer": self.layers[kept], "component": self.components[kept]})
        return rows.value_counts(sort=False).rename("n").reset_index()

    @property
    def _starts(self) -> Int[np.ndarray, " site"]:
        """The number of each site's first neuron."""
        return np.cumsum([0, *(prod(shape) for shape in self.shapes.values())])[:-1]

    def _repeated(self, values: Sequence) -> np.ndarray:
        return np.repeat(np.array(values), [prod(shape) for shape in self.shapes.values()])


def _order(site: Site) -> tuple[int, int]:
    return site.depth
