"""Slopes: how fast the score changes with what each site carries, from one backward pass.

    slope(y) = dF/dy,   at the base run or on average over the way to the source run

The way is the straight line between the word embeddings of the two runs; on average over it
a slope sees past saturation, where at the base run alone it may be 0 (Sundararajan et al.,
2017; Hanna et al., 2024).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..batching.batches import require_one
from ..hooks import Cache, Hooked, Tap
from ..pairs import Pairs
from ..sites import Site
from .memory import Footprint


# Where a forward pass begins; a decoder step (T5) has a beginning of its own.
BEGINNINGS: Final = (
    Site("embed"),
    Site("token_type_embed"),
    Site("pos_embed"),
    Site("decoder_resid_pre", 0),
)


class Slopes(NamedTuple):
    """One forward pass, with its graph, and the slope of the score at what it recorded."""

    score: Float[Tensor, " pair"]
    value: Cache
    slope: dict[Site, Tensor]


def slopes(
    model: Hooked,
    pairs: Pairs,
    sites: Sequence[Site],
    *,
    words: Float[Tensor, "pair pos d_embed"] | None = None,
    taps: Iterable[tuple[Site, Tap]] = (),
    also: Iterable[Site] = (),
) -> Slopes:
    """The slope at each of `sites`, and the values there and at the sites of `also`.

    `words` takes the place of the word embeddings. The graph is kept, so that a caller may
    ask it for more. The model's weights need no gradient: the graph begins at the embeddings.
    """

    def begin(site: Site) -> Tap:
        given = words if site == Site("embed") else None
        return lambda own: (own if given is None else given).detach().requires_grad_()

    known = set(model.sites())
    enter = [(site, begin(site)) for site in BEGINNINGS if site in known]
    watched = dict.fromkeys([*sites, *also])
    with (
        torch.enable_grad(),
        model.tapped([*enter, *taps]),
        model.record(*watched) as value,
    ):
        score = model(pairs)
        total = score.sum()
    # what a tap has cut off, or the score does not read, has a slope of 0
    reached = [site for site in sites if value[site].requires_grad]
    found: Sequence[Tensor] = ()
    if reached:
        found = torch.autograd.grad(
            total,
            [value[site] for site in reached],
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
    slope = {site: torch.zeros_like(value[site]) for site in sites}
    slope |= dict(zip(reached, found, strict=True))
    return Slopes(score.detach(), value, slope)


def midpoints(steps: int) -> list[float]:
    """Where a way of `steps` equal steps is walked: the middle of each."""
    return [(i + 0.5) / steps for i in range(steps)]


def on_the_way(base: Cache, source: Cache, steps: int) -> Iterator[Tensor | None]:
    """The word embeddings of each point at which slopes are taken.

    None, those of the base pairs themselves, if `steps` is 0.
    """
    if steps < 0:
        raise ValueError(f"steps={steps}: 0 takes the slope at the base, n takes n on the way")
    if steps == 0:
        yield None
    else:
        for t in midpoints(steps):
            yield torch.lerp(base[Site("embed")], source[Site("embed")], t).detach()


def graphs_at_once(
    model: Hooked, pairs: Pairs, at_once: int, memory_budget: int | None, *, streams: int = 0
) -> int:
    """How many of `pairs`, up to `at_once`, have graphs that fit into the budget together.

    Each keeps `streams` tensors as large as the stream besides. By default the budget is a
    quarter of what is free.

    Raises:
        ValueError: no pair is wanted at once.
        MemoryError: the graph of one pair does not fit.
    """
    require_one(at_once)
    size = Footprint.of(model, pairs, memory_budget)
    beside = streams * size.of_sites([Site("resid_pre", 0)])
    return size.rows_with_gradients(
        model, pairs, at_once, what="the slopes of one pair", beside=beside
    )
