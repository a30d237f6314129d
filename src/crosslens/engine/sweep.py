"""Exact effects: what each cell, one hook or several at once, does to the scores.

Most of the arithmetic of a sweep does not depend on the intervention. A cell begins where
its first edit acts, from what a run without hooks held there (`resume_points.py`); many cells are
rows of one batch; a row that its edits leave as it was keeps its score, and a token the
queries, keys, values and MLP of the block where the cell begins; in a causal model what stands
before the first changed token is not computed at all; and the last block computes the scored row
only. Nothing is approximated: the tests hold a sweep against one full
hooked forward per cell.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..batching.batch_size import BatchSize
from ..batching.in_batches import in_batches
from ..batching.recorded import recorded
from ..hooks import Cache, Hook, Hooked, PartWrites, sites_of, Tap
from ..pairs import Pairs
from ..sites import HEAD_READS, KINDS, Site
from .memory import Footprint
from .part_writes import with_parts_edited
from .resume_points import resume_points, ResumePoint


Cell = Sequence[Hook]
Progress = Callable[[int, int], None]  # cells done, cells in all
Recording = Callable[[Sequence[Site]], tuple[Cache, Tensor]]
Scored = tuple[list[tuple[int, int]], Tensor]  # (cell, pair), and the score of each


@torch.no_grad()
def sweep(
    model: Hooked,
    pairs: Pairs,
    cells: Iterable[Hook | Cell],
    *,
    memory_budget: int | None = None,
    progress: Progress | None = None,
    recording: Recording | None = None,
) -> Float[Tensor, "cell pair"]:
    """The scores of `pairs` under each cell, one cell at a time.

    A cell is a hook or several that act together. `memory_budget` is in bytes; by default a
    quarter of what is free. `progress(done, total)` is called as cells are finished.
    A caller who has run the pairs without hooks gives `recording`, which says what sites held,
    and the scores.

    Hooks within the pass may hold a value for each pair, so that they see all pairs together, whose
    number is therefore up to the caller: `sweep_in_batches` takes a few pairs at a time.

    Raises:
        ValueError: a cell has no hook.
        MemoryError: the budget holds not even one row, or, for cells with hooks within the
            pass, not one cell.
        DoesNotFit: there is no memory for one row, or for one such cell.
    """
    listed: list[Cell] = [[cell] if isinstance(cell, Hook) else list(cell) for cell in cells]
    if not all(listed):
        raise ValueError(f"cell {listed.index([])} has no hook; score it with model(pairs)")
    groups: dict[ResumePoint, list[int]] = {}
    for i, point in enumerate(resume_points(model, listed)):
        groups.setdefault(point, []).append(i)

    size = Footprint.of(model, pairs, memory_budget)
    if model.is_hooked:  # by the caller, whose hooks may have to see whole rows
        groups = {replace(point, unmoved=(), earlier=()): found for point, found in groups.items()}
    kept = {point: size.of_sites(point.recorded) * len(pairs) for point in groups}
    most = max(kept.values(), default=0)
    at_once = size.rows(each=size.block, beside=most)
    if at_once < 1:
        raise size.refuse(most + size.block, f"a sweep of {len(pairs)} pairs")
    run = recording or partial(recorded, model, pairs, at_once=at_once)
    every = list(dict.fromkeys(site for point in groups for site in point.recorded))
    base, plain = run(every if sum(kept.values()) < size.budget / 2 else [])

    row = slab = f"pair of {size.tokens} tokens"
    if len(pairs) > 1:
        slab = f"cell of {len(pairs)} pairs (sweep fewer at once), each {row},"
    scores = plain.new_empty(len(listed), len(pairs))
    done = 0
    for point in sorted(groups, key=lambda point: point.depth):
        members = groups[point]
        here = base if all(site in base for site in point.recorded) else run(point.recorded)[0]
        start = Start(model, pairs, point, here, plain)
        alone = [i for i in members if not point.later(listed[i])]
        others = [i for i in members if point.later(listed[i])]
        if others and len(pairs) * size.block > size.budget - kept[point]:
            raise size.refuse(len(pairs) * size.block, "a cell with hooks in the pass")
        by_row = start.by_row([listed[i] for i in alone], BatchSize(at_once, item=row))
        n_slabs = max(1, at_once // len(pairs))
        by_slab = start.by_slab([listed[i] for i in others], BatchSize(n_slabs, item=slab))
        for chosen, found in ((alone, by_row), (others, by_slab)):
            for places, values in found:
                cell, pair = zip(*places, strict=True)
                scores[[chosen[i] for i in cell], list(pair)] = values
                done += len(places)
                if progress is not None:
                    progress(done // len(pairs), len(listed))
    return scores


def sweep_in_batches(
    model: Hooked,
    pairs: Pairs,
    cells: Sequence[Hook | Cell],
    *,
    memory_budget: int | None = None,
    progress: Progress | None = None,
) -> Float[Tensor, "cell pair"]:
    """As `sweep`, a few pairs at a time, for hooks that hold no value for each of the pairs.

    Such hooks do to a pair what they do to it beside others. Where memory runs out, fewer pairs
    are swept together.

    Raises:
        ValueError: a cell has no hook.
        MemoryError: the budget does not hold one pair.
        DoesNotFit: there is no memory for one pair.
    """
    n_done = 0

    def run(some: Pairs, rows: list[int]) -> Tensor:
        nonlocal n_done

        def note(done: int, total: int) -> None:
            if progress is not None:
                progress((n_done * total + done * len(some)) // len(pairs), total)

        scores = sweep(model, some, cells, memory_budget=memory_budget, progress=note)
        n_done += len(rows)
        return scores

    return in_batches(model, pairs, "cell pair", run)


class Row(NamedTuple):
    """One pair under one cell, edited and waiting for its batch."""

    cell: int
    pair: int
    edited: Tensor
    moved: Tensor  # by token: whether an edit changed it, or what it reads
    first: int  # the first of these tokens in a causal model, else 0


@dataclass(frozen=True, eq=False)
class Start:
    """The cells that begin at one point, given what the run without hooks held there."""

    model: Hooked
    pairs: Pairs
    point: ResumePoint
    base: Cache
    plain: Float[Tensor, " pair"]

    def by_row(self, cells: Sequence[Cell], batch_size: BatchSize) -> Iterator[Scored]:
        """Cells all of whose edits act at the point: any rows of any of them are a batch."""
        if not cells:
            return
        whole = self.pairs.token.shape[1], list(range(len(self.pairs)))
        # one group where what stands at padding could matter
        buckets = [whole] if self.point.has_padding else self.pairs.like_lengths()
        waiting: list[list[Row]] = [[] for _ in buckets]
        for i, cell in enumerate(cells):
            edited, moved = self._edited(cell)
            if not self.point.has_padding:
                moved = moved & self.pairs.attended
            is_moved, first = moved.any(dim=1).tolist(), [0] * len(moved)
            if self.point.earlier:
                first = moved.int().argmax(dim=1).tolist()
            unmoved = [pair for pair, moves in enumerate(is_moved) if not moves]
            if unmoved:
                yield [(i, pair) for pair in unmoved], self.plain[unmoved]
            for (width, members), queue in zip(buckets, waiting, strict=True):
                queue += [
                    Row(i, pair, edited[pair], moved[pair], first[pair])
                    for pair in members
                    if is_moved[pair]
                ]
                if self.point.earlier:  # a batch is computed from its earliest token on
                    queue.sort(key=lambda row: row.first)
                n_ready = len(queue) - len(queue) % batch_size.items
                yield from self._run_rows(queue[:n_ready], width, batch_size)
                del queue[:n_ready]
        for (width, _), queue in zip(buckets, waiting, strict=True):
            yield from self._run_rows(queue, width, batch_size)

    @cached_property
    def writes(self) -> PartWrites | None:
        """How the heads or neurons at the point write, each by itself."""
        return None if self.point.site is None else self.model.part_writes(self.point.site)

    def _edited(self, cell: Cell) -> tuple[Tensor, Bool[Tensor, "pair pos"]]:
        """What the pass is given in place of what it held at the point, and the tokens moved."""
        point = self.point
        assert point.site is not None
        before = self.base[point.site]
        if point.written is not None:
            assert self.writes is not None
            written = self.base[point.written]
            return with_parts_edited(self.writes, cell, self.pairs, before, written)
        edited = before.clone()
        for hook in point.at_once(cell):
            hook.write(edited, self.pairs, seen=edited)
        return edited, moved_tokens(point.site, edited != before)

    def _run_rows(self, rows: Sequence[Row], width: int, batch_size: BatchSize) -> Iterator[Scored]:
        """The scores of edited rows, none longer than `width`."""

        def run(batch: Sequence[Row]) -> Tensor:
            pair, point = [row.pair for row in batch], self.point
            assert point.site is not None
            given = {site.name: _cut(site, self.base[site][pair], width) for site in point.beside}
            edited = torch.stack([_cut(point.site, row.edited[None], width)[0] for row in batch])
            some, layer = self.pairs.take(pair, width=width), point.layer
            given[point.name] = edited
            if point.unmoved:
                moved = torch.stack([row.moved[:width] for row in batch])
                layer, given = self._reuse(given, pair, moved)
            if not point.earlier:
                return self.model.suffix(some, layer, given)
            first = min(row.first for row in batch)
            earlier = [
                {site.name: self.base[site][pair, :first] for site in read}
                for read in point.earlier[layer - point.layer :]
            ]
            return self.model.suffix(some, layer, from_row(first, given), earlier)

        for batch, values in batch_size.batches(run, rows):
            yield [(row.cell, row.pair) for row in batch], values

    def _reuse(
        self, given: Mapping[str, Tensor], pair: Sequence[int], moved: Bool[Tensor, "row pos"]
    ) -> tuple[int, dict[str, Tensor]]:
        """The block whose attention first reads the `moved` tokens, and what it is given.

        Only those tokens are computed: on their way to that block, and its q, k and v of them.
        """
        width, layer = moved.shape[1], self.point.layer
        tokens = {name: value[moved][:, None] for name, value in given.items()}
        resid = given[self.point.name]

        def unmoved(site: Site) -> Tensor:
            return self.base[site][pair, :width]

        if (after := self.point.next_stream) is not None:
            stream = self.model.relay(layer, layer + 1, tokens, {layer: {}})
            resid, layer, tokens = unmoved(after), layer + 1, {"resid_pre": stream}
            resid[moved] = stream[:, 0]
        reads = [site for site in self.point.unmoved if site != after]
        if not reads:
            return layer, {"resid_pre": resid}
        with self.model.record(*reads) as fresh:
            self.model.relay(layer, layer, tokens, {})
        found = {"resid_pre": resid}
        for site in reads:
            found[site.name] = unmoved(site)
            found[site.name][moved] = fresh[site][:, 0]
        return layer, found

    def by_slab(self, cells: Sequence[Cell], batch_size: BatchSize) -> Iterator[Scored]:
        """Cells with hooks within the pass, which see a slab of all pairs for each cell."""

        def run(batch: Sequence[int]) -> Tensor:
            chosen, n = [cells[i] for i in batch], len(batch)
            many = self.pairs.repeat(n)
            with self.model.tapped(slab_taps([self.point.later(c) for c in chosen], self.pairs)):
                if self.point.site is None:
                    return self.model(many).reshape(n, -1)
                edited = _repeat(self.base[self.point.site], n)
                for slab, cell in zip(edited.split(len(self.pairs)), chosen, strict=True):
                    for hook in self.point.at_once(cell):
                        hook.write(slab, self.pairs, seen=slab)
                given = {site.name: _repeat(self.base[site], n) for site in self.point.beside}
                given[self.point.name] = edited
                return self.model.suffix(many, self.point.layer, given).reshape(n, -1)

        for batch, values in batch_size.batches(run, range(len(cells))):
            yield list(product(batch, range(len(self.pairs)))), values.flatten()


def moved_tokens(site: Site, changed: Bool[Tensor, "pair ..."]) -> Bool[Tensor, "pair pos"]:
    """The tokens of which an entry changed; in a pattern, of which what they read did."""
    if "dst" in site.axes:
        return changed.any(dim=3).any(dim=1)
    return changed.flatten(2).any(dim=2)


def from_row(first: int, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is given of the tokens from `first` on; keys and values are of all tokens."""
    whole = HEAD_READS[1:]
    return {
        name: value if name in whole else value.narrow(axis, first, value.shape[axis] - first)
        for name, value in given.items()
        for axis in [2 if "dst" in KINDS[name].axes else 1]
    }


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


def _cut(site: Site, values: Tensor, width: int) -> Tensor:
    """The first `width` positions."""
    return values[:, :width] if "pos" in site.axes else values


def _repeat(values: Tensor, times: int) -> Tensor:
    return values.repeat(times, *(1,) * (values.dim() - 1))
