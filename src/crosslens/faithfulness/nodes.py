"""Circuits of nodes, scored: only some heads and MLPs keep what they have.

The rest is what it was on the other side of the contrast, by default; the input is
always kept. All circuits and pairs are cells of one sweep. Below the first node that a circuit
keeps, the stream is what it is when nothing is kept: a cell begins there.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import partial

import torch

from ..attribution.edges.edge_graph import node, nodes_of as every_node
from ..batching.batches import by_length
from ..contrasts.contrast import Contrast
from ..engine.memory import Footprint
from ..engine.sweep import Cell, Progress, sweep
from ..hooks import Hooked
from ..interventions.patch import patch
from ..pairs import Pairs
from ..sites import Site, Unit
from .rest import Rest, written_in
from .restored import Faithfulness


@torch.no_grad()
def keep_nodes(
    model: Hooked,
    contrast: Contrast,
    circuits: Iterable[Iterable[Unit]],
    *,
    rest: Rest | None = None,
    nodes: Sequence[Unit] | None = None,
    at_once: int = 16,
    memory_budget: int | None = None,
    progress: Progress | None = None,
) -> Faithfulness:
    """How much of `contrast` each circuit restores when it alone keeps what it has.

    Args:
        circuits: of heads and MLPs; a neuron stands for its MLP.
        rest: what becomes of every other node, as `ablate`, `mean_over(model, pairs)` or
            `drawn_from(model, pairs, generator=g)` say; by default what it was on the side
            without the signal.
        nodes: what may be taken away; by default all heads and MLPs. `model.heads()` leaves
            the MLPs to every circuit, as Wang et al. (2022) do.
        at_once: how many pairs, of like length, are swept together; fewer, where memory runs
            out.
        memory_budget: in bytes; by default a quarter of what is free.
        progress: called with (done, total) pairs.

    Raises:
        LookupError: a member that is none of `nodes`.
        ValueError: a member that is no node at all, or no pair has a contrast.
        MemoryError: the budget does not hold one pair.

    Wang et al. (2022), section 4, https://arxiv.org/abs/2211.00593; Mueller et al. (2025), MIB.
    """
    choice = every_node(model) if nodes is None else list(nodes)
    listed = [frozenset(map(node, circuit)) for circuit in circuits]
    for circuit in listed:
        if strange := sorted(map(str, circuit - set(choice))):
            raise LookupError(
                f"{', '.join(strange)}: not among the {len(choice)} nodes that may be taken away; "
                "circuits are made of these"
            )
    size = Footprint.of(model, contrast.base, memory_budget)
    # the other side, the stream when nothing is kept, and as much again for the sweep's own
    each = size.of_sites([s for name in ("z", "mlp_out", "resid_pre") for s in model.sites(name)])
    needed = 2 * each + size.block
    at_once = size.fit(at_once, each=needed, what="keeping a circuit in one pair")

    distinct = list(dict.fromkeys(listed))

    def run(chosen: list[int]) -> torch.Tensor:
        pairs, other = contrast.more.take(chosen), contrast.base.take(chosen)
        replaced = rest or partial(patch, source=written_in(model, other))
        left = size.budget - each * len(chosen)
        return _alone(model, pairs, distinct, choice, replaced, left)

    found: list[torch.Tensor] = []
    order: list[int] = []
    for rows, scores in by_length(run, contrast.base, at_once):
        found.append(scores)
        order += rows
        if progress is not None:
            progress(len(order), len(contrast))
    kept = torch.cat(found, dim=1)[:, torch.tensor(order).argsort()]
    row = {circuit: i for i, circuit in enumerate(distinct, start=2)}
    return Faithfulness(
        contrast.signal,
        tuple(listed),
        len(choice),
        kept[[row[circuit] for circuit in listed]],
        empty=kept[0],
        whole=kept[1],
    )


def _alone(
    model: Hooked,
    pairs: Pairs,
    circuits: Sequence[Collection[Unit]],
    nodes: Sequence[Unit],
    rest: Rest,
    budget: int,
) -> torch.Tensor:
    """The scores of nothing, the whole model, and each circuit: circuit by pair."""
    hooks = {unit: rest(unit) for unit in nodes}
    with model.hooked(*hooks.values()), model.record("resid_pre") as nothing:
        empty = model(pairs)
    cells: dict[int, Cell] = {}
    scores = torch.stack([empty, model(pairs), *[empty] * len(circuits)])
    for i, circuit in enumerate(circuits, start=2):
        gone = [unit for unit in nodes if unit not in circuit]
        if not gone:
            scores[i] = scores[1]
        elif len(gone) < len(nodes):
            first = min(unit.site.layer or 0 for unit in circuit)
            later = [hooks[unit] for unit in gone if (unit.site.layer or 0) >= first]
            start = [patch(Site("resid_pre", first).at(), nothing)] if first else []
            cells[i] = [*start, *later]
    if cells:
        scores[list(cells)] = sweep(model, pairs, cells.values(), memory_budget=budget)
    return scores
