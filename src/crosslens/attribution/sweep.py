"""Exact effects: what each cell, one hook or several at once, does to the scores.

Most of the arithmetic of a sweep does not depend on the intervention. A cell that edits
layer l starts from the residual stream recorded there, or from z where it leaves attention
alone; many cells are rows of one batch; and the last block computes the [CLS] row only.
Nothing is approximated: the tests hold a sweep against one full hooked forward per cell.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Final, NamedTuple

import psutil
import torch
from jaxtyping import Float
from torch import Tensor

from ..hooks import Cache, Hook, Hooked, sites_of, Tap
from ..pairs import Pairs
from ..sites import ORDER, Site


Cell = Sequence[Hook]
Progress = Callable[[int, int], None]  # cells done, cells in all

# A processor works best on batches that stay in its caches; measured on two AVX2 cores.
TOKENS_PER_BATCH: Final = {"cpu": 1_500, "cuda": 60_000}


class Entry(NamedTuple):
    """Where a cell's forward pass begins."""

    layer: int  # -1: at the embeddings
    at_z: bool

    @classmethod
    def of(cls, cell: Cell, last_layer: int) -> "Entry":
        """The latest beginning from which every edit of `cell` still acts."""
        first = sites_of(cell)[0]
        layer = min(first.depth[0], last_layer)
        return cls(layer, layer >= 0 and first.depth >= (layer, ORDER["z"]))

    @property
    def needs(self) -> list[Site]:
        """What has to be recorded to begin here."""
        if self.layer < 0:
            return []
        resid = [Site("resid_pre", self.layer)]
        return [*resid, Site("z", self.layer)] if self.at_z else resid


@torch.no_grad()
def sweep(
    model: Hooked,
    pairs: Pairs,
    cells: Iterable[Hook | Cell],
    *,
    memory_budget: int | None = None,
    progress: Progress | None = None,
) -> Float[Tensor, "cell pair"]:
    """The scores of `pairs` under each cell, one cell at a time.

    A cell is a hook or several that act together. `memory_budget` is in bytes; by default a
    quarter of what is free. `progress(done, total)` is called as cells are finished.
    """
    listed: list[Cell] = [[cell] if isinstance(cell, Hook) else list(cell) for cell in cells]
    if not all(listed):
        raise ValueError(f"cell {listed.index([])} has no hook; score it with model(pairs)")
    last = len(model.sites("resid_pre")) - 1
    entries = [Entry.of(cell, last) for cell in listed]
    with model.record(*{site for entry in entries for site in entry.needs}) as base:
        plain = model(pairs)

    scores = plain.new_empty(len(listed), len(pairs))
    room = cells_per_batch(base, pairs, memory_budget)
    order = sorted(range(len(listed)), key=entries.__getitem__)
    done = 0
    for entry, group in groupby(order, key=entries.__getitem__):
        members = list(group)
        for batch in (members[i : i + room] for i in range(0, len(members), room)):
            scores[batch] = together(model, pairs, [listed[i] for i in batch], entry, base)
            done += len(batch)
            if progress is not None:
                progress(done, len(listed))
    return scores


def together(
    model: Hooked, pairs: Pairs, cells: Sequence[Cell], entry: Entry, base: Cache
) -> Float[Tensor, "cell pair"]:
    """The scores under cells that begin at the same place, as rows of one batch."""
    n = len(cells)
    with model.tapped(slab_taps(cells, pairs)):
        if entry.layer < 0:
            scores = model(pairs.repeat(n))
        else:
            given = [base[site].repeat(n, *(1,) * (base[site].dim() - 1)) for site in entry.needs]
            scores = model.suffix(pairs.repeat(n), entry.layer, *given)
    return scores.reshape(n, len(pairs))


def slab_taps(cells: Sequence[Cell], pairs: Pairs) -> list[tuple[Site, Tap]]:
    """For each site one tap that lets every cell edit its own slab of rows."""

    def tap(site: Site) -> Tap:
        def edit(activation: Tensor) -> Tensor:
            edited = activation.clone()
            for slab, cell in zip(edited.split(len(pairs)), cells, strict=True):
                for hook in cell:
                    if hook.unit.site == site:
                        hook.write(slab, pairs, seen=slab)
            return edited

        return edit

    return [(site, tap(site)) for site in sites_of([hook for cell in cells for hook in cell])]


def cells_per_batch(base: Cache, pairs: Pairs, memory_budget: int | None) -> int:
    """How many cells fit the budget, and no more than the device likes at once."""
    width = pairs.token.shape[1]
    liked = TOKENS_PER_BATCH.get(pairs.device.type, 60_000) // (len(pairs) * width)
    widest = max((value.numel() * value.element_size() for value in base.values()), default=0)
    per_cell = 24 * max(widest, 1)  # the stream, q, k, v, neurons and patterns of one block
    budget = memory_budget if memory_budget is not None else free_memory(pairs.device) // 4
    if per_cell > budget:
        raise MemoryError(
            f"one cell needs about {per_cell / 2**20:.0f} MiB for {len(pairs)} pairs of {width} "
            f"tokens, the budget is {budget / 2**20:.0f} MiB: take fewer pairs at once"
        )
    return max(1, min(liked, budget // per_cell))


def free_memory(device: torch.device) -> int:
    """Bytes that a sweep could take on `device`."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available
