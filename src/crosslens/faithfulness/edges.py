"""Circuits of edges, scored: a reader receives only some senders as they are.

In a pre-LN model this is what edge-level ablation has always meant: the stream is a sum, and
each reader gets its own. In a post-LN model a LayerNorm of the whole stream follows every
addition, and no reader reads a plain sum. Here each reader's stream is replayed from the
start: the same additions, some of them from the other run, and every LayerNorm on the way
computed anew on what has come together. All edges kept, that is the pass itself; none kept,
the other run.
"""

from collections.abc import Iterable
from typing import Final

import torch

from ..attribution.edges.edge_graph import edge, Graph, nodes_of
from ..attribution.edges.edge_names import INPUT
from ..batching.batches import by_length
from ..circuit import Edge
from ..contrasts.contrast import Contrast
from ..engine.memory import Footprint
from ..engine.sweep import Progress
from ..hooks import Hooked
from ..pairs import Pairs
from ..sites import HEAD_READS, Site
from .edge_pass import Echo, EdgePass, Replayed
from .rest import Rest
from .restored import Faithfulness


HELD: Final = ("full_embed", *HEAD_READS, "z", "attn_out", "mlp_out")


@torch.no_grad()
def keep_edges(
    model: Hooked,
    contrast: Contrast,
    circuits: Iterable[Iterable[Edge | str]],
    *,
    rest: Rest | None = None,
    at_once: int = 4,
    memory_budget: int | None = None,
    progress: Progress | None = None,
) -> Faithfulness:
    """How much of `contrast` each circuit restores when only its edges carry what is sent.

    Nothing is approximated. An empty circuit leaves the score of the other side, a full one
    that of the pairs themselves.

    Args:
        circuits: of edges by name, "a0.h1->a3.h4<q>", or as `EdgeEffects` has them; an edge of
            a neuron stands for one of its MLP.
        rest: what all other edges carry, as in `keep_nodes`; by default what their senders
            wrote on the side without the signal.
        at_once: how many pairs, of like length, are run together; fewer, where memory runs out.
        memory_budget: in bytes; by default a quarter of what is free.
        progress: called with (done, total) circuits, each for every pair.

    Raises:
        TypeError: a model that cannot give each head a stream of its own.
        LookupError: an edge that the model does not have.
        ValueError: no pair has a contrast.
        MemoryError: the budget does not hold one pair.

    Mueller et al. (2025), MIB; the post-LN case is this project's.
    """
    if not isinstance(model, Replayed):
        raise TypeError(
            f"{type(model).__name__} has no `replay`: edges need a model whose heads can be given "
            "streams of their own, as every CrossEncoder's can; keep_nodes needs none"
        )
    graph = Graph.of(model)
    listed = [frozenset(map(edge, circuit)) for circuit in circuits]
    distinct = {circuit: graph.useful(graph.mask(circuit)) for circuit in dict.fromkeys(listed)}
    size = Footprint.of(model, contrast.base, memory_budget)
    # what is held of the other run, what each sender writes instead, a layer's own streams
    streams = len(graph.senders) + 3 * (3 * graph.n_heads + 1)
    each = size.of_sites([site for name in HELD for site in model.sites(name)])
    each += size.block + streams * size.of_sites([Site("full_embed")])
    at_once = size.fit(at_once, each=each, what="the edges of one pair")

    kept: list[torch.Tensor] = []
    order: list[int] = []

    def run(rows: list[int]) -> torch.Tensor:
        pairs, other = contrast.more.take(rows), contrast.base.take(rows)
        with model.record("full_embed") as own:
            whole = model(pairs)
        echo, pieces = _echo(model, pairs, other, rest), model.replay(pairs)
        scores = [echo.score, whole]
        for mask in distinct.values():
            scores.append(EdgePass(pieces, graph, mask, echo).score(own[INPUT]))
            if progress is not None:
                done = len(order) * len(distinct) + (len(scores) - 2) * len(rows)
                progress(done // len(contrast), len(distinct))
        return torch.stack(scores)

    for rows, scores in by_length(run, contrast.base, at_once):
        kept.append(scores)
        order += rows
    found = torch.cat(kept, dim=1)[:, torch.tensor(order).argsort()]
    row = {circuit: i for i, circuit in enumerate(distinct, start=2)}
    return Faithfulness(
        contrast.signal,
        tuple(listed),
        int(graph.exists.sum()),
        found[[row[circuit] for circuit in listed]],
        empty=found[0],
        whole=found[1],
    )


def _echo(model: Hooked, pairs: Pairs, other: Pairs, rest: Rest | None) -> Echo:
    """What the edges outside a circuit carry: the other side, or what `rest` makes of all."""
    if rest is None:
        with model.record(*HELD) as held:
            score = model(other)
    else:
        hooks = [rest(unit) for unit in (INPUT, *nodes_of(model))]
        with model.hooked(*hooks), model.record(*HELD) as held:
            score = model(pairs)
    return Echo(held, score, is_run=rest is None)
