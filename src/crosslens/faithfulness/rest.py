"""The rest: what becomes of every part that a circuit does not keep.

A rest is a function from a unit to the hook that replaces it, so `ablate` itself is one:

    rest=ablate                                  nothing: zero
    rest=mean_over(model, pairs)                 what it says on average over reference pairs
    rest=drawn_from(model, pairs, generator=g)   what it says of some other pair
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import torch

from ..attribution.edges.edge_graph import nodes_of
from ..attribution.edges.edge_names import INPUT
from ..batching.recorded import recorded
from ..hooks import Cache, Hook, Hooked
from ..interventions.ablate import ablate, mean_of, resample
from ..pairs import Pairs
from ..sites import Unit


Rest = Callable[[Unit], Hook]
WRITES: Final = ("full_embed", "z", "mlp_out")


def mean_over(model: Hooked, pairs: Pairs) -> Rest:
    """Each part is fixed to its mean over all tokens of `pairs`, which run once."""
    cache = written_in(model, pairs)
    mean = {unit: mean_of(unit, (cache, pairs)) for unit in (INPUT, *nodes_of(model))}
    return lambda unit: ablate(unit, mean[unit])


def drawn_from(model: Hooked, pairs: Pairs, *, generator: torch.Generator) -> Rest:
    """Each part gets, in every pair, what it had in a random one of `pairs`.

    Parts draw apart from each other, as in causal scrubbing (Chan et al., 2022), each once:
    all circuits are scored with the same draws.
    """
    draw = partial(resample, cache=written_in(model, pairs), pairs=pairs, generator=generator)
    drawn = {unit: draw(unit) for unit in (INPUT, *nodes_of(model))}
    return drawn.__getitem__


@torch.no_grad()
def written_in(model: Hooked, pairs: Pairs) -> Cache:
    """What the input, the heads and the MLPs hold when the model runs."""
    return recorded(model, pairs, WRITES)[0]
