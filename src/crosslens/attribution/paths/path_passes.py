"""The passes of path patching: token by token to the receivers, from there the base run again.

A cell is one sender in one pair. Step 1 carries the tokens that the sender changes, and some
receiver reads, from the sender's place to the last receiver, with what attention adds given;
the tokens of many cells are the rows of one batch. Step 2 resumes each cell's base run at its
first receiver, with what the receivers received in step 1 in place of what they read.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...batching.batch_size import BatchSize
from ...contrasts.contrast import Contrast
from ...hooks import Cache, require_inside, Tap
from ...pairs import Pairs, scored_row
from ...sites import HEAD_READS, Site, Unit
from .path_plan import Paths, places, TABLES


class Rows(NamedTuple):
    """Some tokens of some cells, cell by cell: the cell, its pair, and the position."""

    cell: Int[Tensor, " row"]
    pair: Int[Tensor, " row"]
    pos: Int[Tensor, " row"]

    def of(self, recorded: Tensor) -> Float[Tensor, "row 1 *part"]:
        """What these tokens have of a recorded site, each a row of one position."""
        if recorded.shape[1] == 1:  # the scored row alone was recorded
            return recorded[self.pair]
        return recorded[self.pair, self.pos][:, None]

    def into(self, whole: Tensor, own: Float[Tensor, "row 1 *part"]) -> Tensor:
        """`whole`, of all tokens of every cell, with these tokens' `own` in their places."""
        written = whole.clone()
        written[self.cell, self.pos] = own[:, 0]
        return written

    def take(self, chosen: Bool[Tensor, " row"] | slice) -> "Rows":
        return Rows(*(each[chosen] for each in self))


@dataclass(frozen=True, eq=False)
class Bundle:
    """Some pairs of like length, what was recorded of both their sides, and their scores."""

    paths: Paths
    pairs: Pairs
    base: Cache
    source: Cache
    plain: Float[Tensor, " pair"]
    target: Float[Tensor, " pair"]
    at_once: int  # how many rows as wide as the pairs are one batch

    @classmethod
    def of(cls, paths: Paths, contrast: Contrast, at_once: int) -> "Bundle":
        base, plain = _recorded(paths, contrast.base, paths.of_base)
        source, target = _recorded(paths, contrast.more, paths.of_source)
        for unit in (*paths.senders, *paths.receivers):
            numbered = tuple((axis, i) for axis, i in unit.coordinates if axis != "pos")
            require_inside(Unit(unit.site, numbered), base[unit.site])
        return cls(paths, contrast.base, base, source, plain, target, at_once)

    def changes(self) -> Float[Tensor, "sender group pair"]:
        """How much each sender changes the score by way of each group of receivers."""
        senders, groups = self.paths.senders, self.paths.groups
        found = self.plain.new_zeros(len(senders), len(groups), len(self.pairs))
        for site in self.paths.starts:
            members = [i for i, sender in enumerate(senders) if sender.site == site]
            reached = [unit for unit in self.paths.receivers if unit.site.depth > site.depth]
            for cells, change in self._from(site, [senders[i] for i in members], reached):
                for (member, pair), values in zip(cells, change.T, strict=True):
                    found[members[member], :, pair] = values
        return found

    def _from(
        self, site: Site, senders: Sequence[Unit], reached: Sequence[Unit]
    ) -> Iterator[tuple[Sequence[tuple[int, int]], Float[Tensor, "group cell"]]]:
        """The cells (sender, pair) of one site that reach any receiver, and their changes."""
        needed = self._needed(reached)
        widest = int(needed.sum(dim=1).max())
        moved = self.source[site] != self.base[site]
        where = [self._moved(sender, moved) & needed for sender in senders]
        cells = [
            (i, pair)
            for i, there in enumerate(where)
            for pair in there.any(dim=1).nonzero().flatten().tolist()
        ]

        def run(batch: Sequence[tuple[int, int]]) -> Float[Tensor, "group cell"]:
            cell, pos = torch.stack([where[i][pair] for i, pair in batch]).nonzero(as_tuple=True)
            pair = torch.tensor([pair for _, pair in batch], device=cell.device)
            rows = Rows(cell, pair[cell], pos)
            written = self._written(site, [senders[i] for i, _ in batch], rows)
            return self._received(site, written, reached, rows, pair)

        width = self.pairs.token.shape[1]
        at_once = max(1, self.at_once * width // max(1, widest))
        yield from BatchSize(at_once, tokens=width).batches(run, cells)

    def _needed(self, reached: Sequence[Unit]) -> Bool[Tensor, "pair pos"]:
        """The tokens that the score or some receiver reads."""
        needed = torch.zeros_like(self.pairs.attended)
        if () in self.paths.groups:
            needed |= self.pairs.is_scored if self.paths.reads_scored_row else self.pairs.attended
        for unit in reached:
            needed |= self.paths.read_at(unit, self.pairs)
        return needed

    def _moved(self, sender: Unit, moved: Bool[Tensor, "..."]) -> Bool[Tensor, "pair pos"]:
        """The tokens at which the sender says something else than in the base run."""
        own = moved[(slice(None), slice(None), *sender.index[2:])]
        own = own.reshape(*own.shape[:2], -1).any(dim=2)
        there = torch.zeros_like(self.pairs.attended)
        if own.shape == there.shape:
            there = own
        else:  # the scored row alone was recorded
            there[self.pairs.is_scored] = own[:, 0]
        return there & places(sender, self.pairs)

    def _written(self, site: Site, senders: Sequence[Unit], rows: Rows) -> Tensor:
        """The site at these tokens as in the base run, but for each cell's own sender."""
        written, source = rows.of(self.base[site]), rows.of(self.source[site])
        ends = torch.bincount(rows.cell, minlength=len(senders)).cumsum(0).tolist()
        for sender, start, end in zip(senders, [0, *ends], ends, strict=False):
            own = (slice(start, end), slice(None), *sender.index[2:])
            written[own] = source[own]
        return written

    def _received(
        self,
        site: Site,
        written: Tensor,
        reached: Sequence[Unit],
        rows: Rows,
        pair: Int[Tensor, " cell"],
    ) -> Float[Tensor, "group cell"]:
        """Step 1, and what becomes of the score by way of each group of receivers."""
        groups, n_layers = self.paths.groups, len(self.paths.outputs)
        layers = [unit.site.depth[0] + (unit.site.name not in HEAD_READS) for unit in reached]
        with self.paths.model.record(*{unit.site for unit in reached}) as received:
            stop = n_layers if () in groups else max(layers)
            stream = self._relayed(site, written, rows, stop)
        change = self.plain.new_zeros(len(groups), len(pair))
        for i, group in enumerate(groups):
            if not group:
                change[i] = self._at_score(stream, rows, pair)
            elif receivers := [unit for unit in group if unit in reached]:
                change[i] = self._resumed(receivers, received, rows, pair)
        return change

    def _relayed(self, site: Site, written: Tensor, rows: Rows, stop: int) -> Tensor:
        """Step 1: the stream of every token at block `stop`."""
        start, taps = self.paths.starts[site], list[tuple[Site, Tap]]()
        if start.site is None:  # an embedding table
            tables = [each for name in TABLES if (each := Site(name)) in self.base]
            given = {each.name: rows.of(self.base[each]) for each in tables} | {site.name: written}
        else:
            given = {each.name: rows.of(self.base[each]) for each in start.beside}
            given[start.name] = written
            if site not in start.same:  # the sender speaks later in its block
                given[start.name] = rows.of(self.base[start.site])
                taps = [(site, lambda _: written)]
        held = {
            layer: {name: rows.of(self.base[Site(name, layer)]) for name in self.paths.held}
            for layer in range(max(start.layer, 0), stop)
        }
        with self.paths.model.tapped(taps):
            return self.paths.model.relay(start.layer, stop, given, held)

    def _at_score(
        self, stream: Float[Tensor, "row 1 d_model"], rows: Rows, pair: Int[Tensor, " cell"]
    ) -> Float[Tensor, " cell"]:
        """How much the score changes where these tokens leave the last block so."""
        paths, last = self.paths, self.base[self.paths.outputs[-1]]
        if paths.reads_scored_row:
            is_read = rows.pos == self.pairs.scored[rows.pair]
            stream, last = stream[is_read], scored_row(last, self.pairs.scored)
            rows = rows.take(is_read)
            rows = rows._replace(pos=torch.zeros_like(rows.pos))  # the one row that is left
        left = rows.into(last[pair], stream)
        some = self.pairs.take(pair.tolist(), width=left.shape[1])
        change = paths.model.suffix(some, len(paths.outputs), left) - self.plain[pair]
        return change * torch.bincount(rows.cell, minlength=len(pair)).clamp(max=1)

    def _resumed(
        self, group: Sequence[Unit], received: Cache, rows: Rows, pair: Int[Tensor, " cell"]
    ) -> Float[Tensor, " cell"]:
        """Step 2: how much the score changes where the receivers read what reached them."""
        model, width = self.paths.model, self.pairs.token.shape[1]
        point = min((self.paths.resumes[unit.site] for unit in group), key=lambda e: e.depth)
        sites = dict.fromkeys(unit.site for unit in group)

        def run(batch: Sequence[int]) -> Float[Tensor, " cell"]:
            ours = (rows.cell >= batch[0]) & (rows.cell <= batch[-1])
            here, chosen = rows.take(ours), pair[batch[0] : batch[-1] + 1]
            here = here._replace(cell=here.cell - batch[0])
            some = self.pairs.take(chosen.tolist(), width=width)
            taps = [
                (
                    site,
                    overwriting(
                        [unit for unit in group if unit.site == site],
                        here.into(self.base[site][chosen], received[site][ours]),
                        some,
                    ),
                )
                for site in sites
            ]
            given = {each.name: self.base[each][chosen] for each in point.needs}
            with model.scored_row_only(), model.tapped(taps):
                return model.suffix(some, point.layer, given) - self.plain[chosen]

        size = BatchSize(self.at_once, tokens=width)
        return torch.cat([change for _, change in size.batches(run, range(len(pair)))])


def overwriting(units: Sequence[Unit], value: Tensor, pairs: Pairs) -> Callable[[Tensor], Tensor]:
    """Give units of one site their part of `value`, at the tokens they mean."""

    def write(activation: Tensor) -> Tensor:
        written = activation.clone()
        is_narrow = activation.shape[1] == 1  # the scored row alone, in the last block
        new = scored_row(value, pairs.scored) if is_narrow else value
        for unit in units:
            own = (slice(None), slice(None), *unit.index[2:])
            there = places(unit, pairs)
            there = scored_row(there, pairs.scored) if is_narrow else there
            there = there.reshape(*there.shape, *(1,) * (written[own].dim() - 2))
            written[own] = torch.where(there, new[own], written[own])
        return written

    return write


def _recorded(
    paths: Paths, pairs: Pairs, sites: Sequence[Site]
) -> tuple[Cache, Float[Tensor, " pair"]]:
    """What the sites hold and the scores; of the scored row alone, where nothing else matters."""
    cache = Cache()

    def keep(site: Site) -> Tap:
        if not paths.is_of_scored_row:
            return lambda activation: cache.keep(site, activation)
        return lambda activation: cache.keep(site, scored_row(activation, pairs.scored).clone())

    narrow = paths.model.scored_row_only() if paths.is_of_scored_row else nullcontext()
    with narrow, paths.model.tapped([(site, keep(site)) for site in sites]):
        scores = paths.model(pairs)
    return cache, scores
