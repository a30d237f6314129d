"""The graph whose parts a circuit keeps: heads and MLPs, and who can read whom.

As in MIB (Mueller et al., 2025, https://arxiv.org/abs/2504.13151): the nodes are heads at `z`
and MLPs at `mlp_out`; an edge leads from what writes to the stream (the input, a head, an MLP)
to what reads it later (a head's q, k or v, an MLP, the logits).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool
from torch import Tensor

from ...circuit import Edge
from ...hooks import Hooked
from ...not_measurable import NotMeasurable
from ...sites import head, HEAD_READS, near, Site, Unit
from .edge_names import ARROW, edge as edge_called, INPUT, LOGITS, written


Part = Unit | Edge


def nodes_of(model: Hooked) -> list[Unit]:
    """What a circuit of nodes may keep: every head (`z`) and MLP (`mlp_out`), layer by layer."""
    layers = {site.layer: site for site in model.sites("mlp_out")}
    heads = model.heads()
    return [
        unit
        for layer, mlp in layers.items()
        for unit in (*(head for head in heads if head.site.layer == layer), mlp.at())
    ]


def node(unit: Unit) -> Unit:
    """The node that a unit belongs to: a neuron's MLP, a head's `z` for its q, k or v.

    Raises:
        ValueError: a unit of the stream or the embeddings, which is no node.
    """
    name = written(unit).partition("<")[0]
    if name in ("input", "logits"):
        raise ValueError(
            f"{unit} is the {name}, which every circuit keeps: nodes are heads and MLPs"
        )
    return edge_called(f"{name}{ARROW}logits").sender


def edge(given: Edge | str) -> Edge:
    """The edge of the graph that an edge between any parts of two nodes belongs to."""
    return edge_called(given if isinstance(given, str) else written(given))


def parts(circuit: Iterable[Part | str]) -> frozenset[Part]:
    """The nodes, or the edges, that a circuit is made of."""
    return frozenset(node(part) if isinstance(part, Unit) else edge(part) for part in circuit)


def called(part: Part) -> str:
    """A node as everywhere, `3.z[head=7]`; an edge as the literature writes it."""
    return written(part) if isinstance(part, Edge) else str(part)


def in_order(parts: Iterable[Part]) -> list[Part]:
    """Nodes, or edges, in the order of the forward pass."""

    def place(part: Part) -> list[tuple[tuple[int, int], str]]:
        return [
            (unit.site.depth, str(unit)) for unit in ([part] if isinstance(part, Unit) else part)
        ]

    return sorted(parts, key=place)


def all_parts(model: Hooked, like: Iterable[Part]) -> frozenset[Part]:
    """All nodes of a model, or all its edges, if `like` are edges."""
    is_node = any(isinstance(part, Unit) for part in like)
    return frozenset(nodes_of(model) if is_node else Graph.of(model).edges)


def is_before(
    senders: Sequence[Unit], receivers: Sequence[Unit]
) -> Bool[Tensor, "sender receiver"]:
    """Which senders come before which receivers: only there is an edge."""
    read = [receiver.site.depth for receiver in receivers]
    return torch.tensor([[s.site.depth < depth for depth in read] for s in senders])


def edges_at(
    exists: Bool[Tensor, "sender receiver"], senders: Sequence[Unit], receivers: Sequence[Unit]
) -> list[Edge]:
    """The edges of a matrix of them, sender by sender."""
    return [Edge(senders[s], receivers[r]) for s, r in exists.nonzero().tolist()]


@dataclass(frozen=True)
class Graph:
    """Every edge of a model, as a matrix of who writes and who reads."""

    n_layers: int
    n_heads: int  # per layer
    senders: tuple[Unit, ...]
    receivers: tuple[Unit, ...]

    @classmethod
    def of(cls, model: Hooked) -> "Graph":
        """The graph of `model`: the embeddings, its heads and MLPs, and the score.

        Heads that share keys and values have edges to them of their own, as the literature has it.

        Raises:
            NotMeasurable: what heads write is not what is added (Gemma2).
        """
        if not getattr(model, "adds_by_head", True):
            raise NotMeasurable(
                "the heads of this model write one sum, which a norm changes before it is added: "
                "there is no edge from one of them; patch heads at z instead"
            )
        n_layers = len(model.sites("resid_pre"))
        return cls.sized(n_layers, len(model.heads()) // n_layers)

    @classmethod
    def sized(cls, n_layers: int, n_heads: int) -> "Graph":
        """Of any model with so many layers, and heads in each."""
        senders, receivers = [INPUT], []
        for layer in range(n_layers):
            senders += [head(layer, i) for i in range(n_heads)]
            senders.append(Site("mlp_out", layer).at())
            receivers += [head(layer, i, read) for read in HEAD_READS for i in range(n_heads)]
            receivers.append(Site("mlp_pre", layer).at())
        return cls(n_layers, n_heads, tuple(senders), (*receivers, LOGITS))

    @cached_property
    def exists(self) -> Bool[Tensor, "sender receiver"]:
        """Which senders come before which receivers."""
        return is_before(self.senders, self.receivers)

    @property
    def edges(self) -> list[Edge]:
        """Every edge, sender by sender."""
        return edges_at(self.exists, self.senders, self.receivers)

    @cached_property
    def row(self) -> dict[Unit, int]:
        """Where each sender stands in a matrix of edges."""
        return {sender: i for i, sender in enumerate(self.senders)}

    @cached_property
    def column(self) -> dict[Unit, int]:
        """Where each receiver stands in a matrix of edges."""
        return {receiver: i for i, receiver in enumerate(self.receivers)}

    def mask(self, edges: Iterable[Edge | str]) -> Bool[Tensor, "sender receiver"]:
        """Which edges these are.

        Raises:
            LookupError: an edge that the model does not have.
        """
        mask = torch.zeros_like(self.exists)
        for sender, receiver in map(edge, edges):
            for unit, known in ((sender, self.row), (receiver, self.column)):
                if unit not in known:
                    raise LookupError(
                        f"{written(unit)} is no part of this model; "
                        f"{near(written(unit), map(written, known))}"
                    )
            at = self.row[sender], self.column[receiver]
            if not self.exists[at]:
                raise LookupError(
                    f"{written(receiver)} comes before {written(sender)}: no such edge"
                )
            mask[at] = True
        return mask

    def useful(self, mask: Bool[Tensor, "sender receiver"]) -> Bool[Tensor, "sender receiver"]:
        """Those edges from which others lead on to the logits."""
        found = mask.clone()
        of_node: dict[Unit, list[int]] = {}
        for receiver, column in self.column.items():
            if receiver != LOGITS:
                of_node.setdefault(node(receiver), []).append(column)
        for sender in reversed(self.senders):  # whether its readers lead on is settled by then
            if sender != INPUT and not found[self.row[sender]].any():
                found[:, of_node[sender]] = False
        return found
