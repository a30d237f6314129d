"""Where a cell's forward pass begins: the last place from which all its edits still act.

What comes before the first edit does not depend on it. So a cell is given what was recorded
there, and what stands beside it in the block, makes its first edits on that, and computes
what is left. For an edit of

    resid_pre, or the output of the block before     the pass begins at the stream
    q, k, v                                          there, beside the two others and the stream
    attn_scores, pattern                             there, beside v and the stream
    z, result                                        at z, beside the stream
    attn_out                                         there, beside the stream
    resid_mid ... mlp_post                           at resid_mid
    mlp_out, resid_post                              at mlp_out, beside what it is added to
    numbered heads of z, or neurons                  at attn_out or mlp_out (`part_writes.py`)

The output of the last block is the stream that the head reads: nothing but the head runs.

An edit seldom moves every token. What a block computes token by token - its queries, keys and
values, and all that comes after attention - is as it was where the tokens are: it is taken from
the same recording (`ResumePoint.unmoved`). In a causal model all that stands before the first
moved token is as it was, up to the score: of those tokens only the keys and values are needed
(`ResumePoint.earlier`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from ..hooks import Hook, Hooked, sites_of
from ..sites import HEAD_READS, ORDER, Site, Unit
from .part_writes import sum_written


@dataclass(frozen=True)
class ResumePoint:
    """The beginning of a pass: `site` is what the first edits change."""

    layer: int  # -1: at the embeddings; the number of layers: at the head
    name: str = "embed"  # what the model calls `site` when it is given it
    site: Site | None = None  # recorded in the base run, and edited
    beside: tuple[Site, ...] = ()  # recorded, and given as they are
    written: Site | None = None  # recorded: the sum of what heads or neurons write, which is given
    same: frozenset[Site] = frozenset()  # the sites whose edits are edits of `site`
    # Recorded, for the tokens that an edit leaves as they were: the stream that the next block
    # reads, if nothing between `site` and it mixes tokens, and that block's q, k and v.
    unmoved: tuple[Site, ...] = ()
    # Recorded, for tokens before the first that moves in a causal model: k and v of each block
    # from `layer` on.
    earlier: tuple[tuple[Site, Site], ...] = ()

    @property
    def needs(self) -> list[Site]:
        """What has to be recorded to begin here."""
        return [*self.beside, *(site for site in (self.site, self.written) if site is not None)]

    @property
    def recorded(self) -> list[Site]:
        """What a sweep has to record to begin here."""
        return list(dict.fromkeys((*self.needs, *self.unmoved, *chain(*self.earlier))))

    @property
    def next_stream(self) -> Site | None:
        """The stream that tokens reach from here each by itself, if it is another than `site`."""
        return next((site for site in self.unmoved if site.name == "resid_pre"), None)

    @property
    def depth(self) -> tuple[int, int]:
        """Sorts entries by how much of the model they skip."""
        return self.layer, ORDER[self.name]

    @property
    def has_padding(self) -> bool:
        """What stands at padding could matter: an edited pattern may read there."""
        return self.site is None or "src" in self.site.axes

    def at_once(self, cell: Sequence[Hook]) -> list[Hook]:
        """The hooks of `cell` that edit what the pass is given, in the order of the pass."""
        return sorted(
            (hook for hook in cell if hook.unit.site in self.same),
            key=lambda hook: hook.unit.site.depth,
        )

    def later(self, cell: Sequence[Hook]) -> list[Hook]:
        """The hooks of `cell` that act within the pass."""
        return [hook for hook in cell if hook.unit.site not in self.same]


BY_TOKEN: Final = {"attn_out", "resid_mid", "mlp_out"}  # behind them a block mixes no tokens

# The share of a block that lies before its sites: attention is about a third, W_O a twelfth.
SKIPPED: Final = {
    **dict.fromkeys(HEAD_READS, 0.2),
    "attn_scores": 0.2,
    "pattern": 0.2,
    "z": 0.25,
    "attn_out": 1 / 3,
    "resid_mid": 1 / 3,
    "mlp_out": 1.0,
}


def needed(model: Hooked, sites: Sequence[Site]) -> list[Site]:
    """What a run without hooks has to record, so that cells may begin at edits of `sites`."""
    cells = [[Hook(site.at(), lambda carried: carried)] for site in sites]
    return list(
        dict.fromkeys(site for point in resume_points(model, cells) for site in point.recorded)
    )


def blocks_behind(model: Hooked, units: Sequence[Unit]) -> list[float]:
    """How many blocks patching each of `units` runs, more or less.

    The last block counts for nothing where it computes the scored row alone.
    """
    cells = [[Hook(unit, lambda carried: carried)] for unit in units]
    whole = len(model.sites("resid_pre")) - model.reads_scored_row
    return [
        max(0.0, whole - max(point.layer, 0) - SKIPPED.get(point.name, 0.0))
        for point in resume_points(model, cells)
    ]


def resume_points(
    model: Hooked, cells: Iterable[Sequence[Hook]], *, may_sum: bool = True
) -> list[ResumePoint]:
    """The latest point for each of `cells`.

    With `may_sum` the point of an edit of heads or neurons may be where their writes are added up,
    unless a hook of the caller may watch them.
    """
    may_sum = may_sum and not model.is_hooked
    at_stream = _at_stream(model)
    is_post = "normalized_resid_post" in {site.name for site in model.sites()}
    adds_to = "normalized_resid_mid" if is_post else "resid_mid"
    before_head = max(point.layer for point in at_stream.values())

    def latest(cell: Sequence[Hook]) -> ResumePoint:
        first = sites_of(cell)[0]
        if first in at_stream:
            return at_stream[first]
        layer, order = first.depth
        if layer < 0:
            return ResumePoint(-1)
        if layer >= before_head:
            return at_stream[block_outputs(model)[-1]]
        stream = Site("resid_pre", layer)
        written = sum_written(model, cell) if may_sum and layer + 1 < before_head else None
        if written is not None:
            order = ORDER[written.name]
        if order >= ORDER["mlp_out"]:
            name, beside = "mlp_out", (Site(adds_to, layer),)
        elif order >= ORDER["resid_mid"]:
            name, beside = "resid_mid", ()
        elif order >= ORDER["attn_out"]:
            name, beside = "attn_out", (stream,)
        elif order >= ORDER["z"]:
            name, beside = "z", (stream,)
        elif order >= ORDER["attn_scores"]:
            name, beside = first.name, (stream, Site("v", layer))
        elif first.name in HEAD_READS and layer + 1 < before_head:
            others = [Site(name, layer) for name in HEAD_READS if name != first.name]
            name, beside = first.name, (stream, *others)
        else:
            return at_stream[stream]
        site = Site(name, layer) if written is None else first
        unmoved: tuple[Site, ...] = ()
        # an edit of a head or neuron at every token leaves none as it was
        names_tokens = all("pos" in dict(hook.unit.coordinates) for hook in cell)
        if name in BY_TOKEN and layer + 1 < before_head and (written is None or names_tokens):
            after = Site("resid_pre", layer + 1)
            unmoved = (after, *at_stream[after].unmoved)
        return ResumePoint(layer, name, site, beside, written, frozenset({site}), unmoved)

    points = [latest(cell) for cell in cells]
    if not (model.is_causal and model.reads_scored_row):
        return points
    read = [(Site("k", layer), Site("v", layer)) for layer in range(before_head)]
    return [
        point
        if point.site is None or point.layer < 0
        else replace(point, earlier=tuple(read[point.layer :]))
        for point in points
    ]


def block_outputs(model: Hooked) -> list[Site]:
    """The output of every block: the input of the next, and what the last one leaves."""
    return model.block_outputs()


def _at_stream(model: Hooked) -> dict[Site, ResumePoint]:
    """Every site that holds the stream some block reads, or the head, and the point there."""
    reads = model.sites("resid_pre")
    writes = [Site("full_embed"), *block_outputs(model)]
    found = {}
    for layer, written in enumerate(writes):
        read = reads[layer] if layer < len(reads) else written
        # The last block of a model that reads one row makes no keys and values of all tokens.
        is_whole = layer < len(reads) - model.reads_scored_row
        unmoved = tuple(Site(name, layer) for name in HEAD_READS) if is_whole else ()
        point = ResumePoint(
            layer, "resid_pre", read, same=frozenset({written, read}), unmoved=unmoved
        )
        found |= {written: point, read: point}
    return found
