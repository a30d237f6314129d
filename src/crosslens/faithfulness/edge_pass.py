"""A pass in which every reader receives the senders of its own edges, and of the others an echo.

Each reader (a head's q, its k, its v, an MLP, the logits) has a stream of its own, added up
from what the senders before it write: along the edges of a circuit what they write in this
run, along all others what they wrote in another run, the *echo*. Every LayerNorm on the way is
computed anew, on that reader's stream.

Only what can differ is computed. Who receives no circuit edge writes what it wrote in the echo;
readers whose edges have been the same so far share one stream.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..attribution.edges.edge_graph import Graph
from ..attribution.edges.edge_names import LOGITS
from ..hooks import Cache, Hooked, served
from ..pairs import Pairs, scored_row
from ..sites import head, HEAD_READS, Site


Rows = Callable[[Tensor], Tensor]  # from all positions to those that are needed


@runtime_checkable
class Pieces(Protocol):
    """A model's pass over some pairs in pieces; `model.replay.Replay` says what each gives."""

    @property
    def pairs(self) -> Pairs: ...
    def is_scored_row_only(self, layer: int) -> bool: ...
    def is_square(self, layer: int) -> bool: ...
    def read(
        self, layer: int, name: str, heads: Sequence[int], streams: Tensor, of: Tensor
    ) -> Tensor: ...
    def attend(
        self, layer: int, heads: Sequence[int], q: Tensor, k: Tensor, v: Tensor
    ) -> Tensor: ...
    def writes(self, layer: int, heads: Sequence[int], z: Tensor) -> Tensor: ...
    def mlp(self, layer: int, stream: Tensor) -> Tensor: ...
    def after_attention(self, layer: int, stream: Tensor) -> Tensor: ...
    def after_mlp(self, layer: int, stream: Tensor) -> Tensor: ...
    def score(self, stream: Tensor) -> Tensor: ...


@runtime_checkable
class Replayed(Hooked, Protocol):
    """A model whose heads can read streams of their own."""

    def replay(self, pairs: Pairs) -> Pieces: ...


class Echo(NamedTuple):
    """What the edges outside a circuit carry."""

    held: Cache  # full_embed, q, k, v, z, attn_out and mlp_out of that run
    score: Float[Tensor, " pair"]
    is_run: bool  # a run without hooks: who receives nothing but the echo writes the echo


class Step(NamedTuple):
    """What some senders, side by side, add to every stream, and what is done to it then."""

    write: Float[Tensor, "pair pos d_model"]  # of all of them, in the echo
    senders: Sequence[int]  # those that write something else now
    change: Float[Tensor, "sender pair pos d_model"]  # and how much else
    norm: Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class EdgePass:
    """One circuit, on its way through the layers."""

    pieces: Pieces
    graph: Graph
    edges: Bool[Tensor, "sender receiver"]
    echo: Echo
    steps: list[Step] = field(default_factory=list)

    def score(self, embedded: Float[Tensor, "pair pos d_model"]) -> Float[Tensor, " pair"]:
        """The relevance scores, given what the input writes."""
        start = self.echo.held[Site("full_embed")]
        self.steps[:] = [Step(start, [0], (embedded - start)[None], lambda stream: stream)]
        for layer in range(self.graph.n_layers):
            self.steps.append(self._heads(layer))
            self.steps.append(self._mlp(layer))
        last = [self.graph.column[LOGITS]]
        if not self._receives(last).any():
            return self.echo.score
        streams, _ = self._streams(last, self._rows(self.graph.n_layers - 1))
        return self.pieces.score(streams[0])

    def _heads(self, layer: int) -> Step:
        """What the heads of a layer add."""
        held, rows, every = self.echo.held, self._rows(layer), range(self.graph.n_heads)
        write, after = held[Site("attn_out", layer)], partial(self.pieces.after_attention, layer)
        senders = [self.graph.row[head(layer, h)] for h in every]
        readers = {r: [self.graph.column[head(layer, h, r)] for h in every] for r in HEAD_READS}
        receives = {read: self._receives(places) for read, places in readers.items()}
        is_live = self.edges[senders].any(dim=1)
        if self.echo.is_run:
            is_live &= receives["q"] | receives["k"] | receives["v"]
        heads = is_live.nonzero().flatten().tolist()
        if not heads:
            return Step(write, [], write[None, :0], after)

        of_queries = whole if self.pieces.is_square(layer) else rows
        at = {"q": of_queries, "k": whole, "v": whole}
        read = {
            name: served(at[name](held[Site(name, layer)]), len(every)).clone()
            for name in HEAD_READS
        }
        for names in [HEAD_READS] if of_queries is whole else [("q",), ("k", "v")]:
            receiving = [(name, h) for name in names for h in heads if receives[name][h]]
            if not receiving:
                continue
            places = [readers[name][h] for name, h in receiving]
            streams, of = self._streams(places, at[names[0]])
            for name in {name for name, _ in receiving}:
                some = [h for other, h in receiving if other == name]
                own = of[[other == name for other, _ in receiving]]
                read[name][:, :, some] = self.pieces.read(layer, name, some, streams, own)
        z = rows(self.pieces.attend(layer, heads, read["q"], read["k"], read["v"]))
        moved = z - rows(held[Site("z", layer)])[:, :, heads]
        change = self.pieces.writes(layer, heads, moved)
        return Step(write, [senders[h] for h in heads], change, after)

    def _mlp(self, layer: int) -> Step:
        """What the MLP of a layer adds."""
        site, rows = Site("mlp_out", layer), self._rows(layer)
        write, after = self.echo.held[site], partial(self.pieces.after_mlp, layer)
        sender, reader = self.graph.row[site.at()], self.graph.column[Site("mlp_pre", layer).at()]
        receives = bool(self._receives([reader]).any()) or not self.echo.is_run
        if not (receives and self.edges[sender].any()):
            return Step(write, [], write[None, :0], after)
        streams, _ = self._streams([reader], rows)
        change = self.pieces.mlp(layer, streams[0]) - rows(write)
        return Step(write, [sender], change[None], after)

    def _streams(
        self, readers: Sequence[int], rows: Rows
    ) -> tuple[Float[Tensor, "stream pair row d_model"], Int[Tensor, " reader"]]:
        """The streams of some readers, as far as they have come, and which is whose."""
        of = torch.zeros(len(readers), dtype=torch.long)
        streams = torch.zeros_like(rows(self.steps[0].write)[None])
        for step in self.steps:
            write = rows(step.write)
            if step.senders:
                wanted = self.edges[step.senders][:, readers].T.long()
                kinds = torch.cat([of[:, None], wanted], dim=1)
                kinds, of = kinds.unique(dim=0, return_inverse=True)
                received = einsum(
                    kinds[:, 1:].to(write),
                    rows(rearrange(step.change, "sender pair pos d -> pair pos sender d")),
                    "stream sender, pair row sender d -> stream pair row d",
                )
                # in place: these are the largest tensors, and what they cost is their traffic
                parents = kinds[:, 0]
                received += write
                received += streams if len(parents) == len(streams) else streams[parents]
                streams = received
            else:
                streams = streams + write
            streams = step.norm(streams)
        return streams, of

    def _receives(self, readers: Sequence[int]) -> Bool[Tensor, " reader"]:
        """Which readers have a circuit edge from a sender that writes something else now."""
        moved = [sender for step in self.steps for sender in step.senders]
        return self.edges[moved][:, readers].any(dim=0)

    def _rows(self, layer: int) -> Rows:
        """The positions of what a block writes that can reach the score."""
        if not self.pieces.is_scored_row_only(layer):
            return whole
        return partial(scored_row, scored=self.pieces.pairs.scored)


def whole(x: Tensor) -> Tensor:
    """Every position."""
    return x
