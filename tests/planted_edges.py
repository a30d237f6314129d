"""The edges of a planted model against those whose removal changes the score."""

from collections.abc import Callable, Sequence
from itertools import product

from torch import Tensor

from crosslens import CrossEncoder, Edge, Hook, Pairs, sweep, Unit
from crosslens.planted import Planted


def assert_edges_matter(
    planted: Planted,
    model: CrossEncoder,
    pairs: Pairs,
    senders: Sequence[Unit],
    receivers: Sequence[Unit],
    given: Callable[[Unit, Unit], Tensor],
) -> None:
    """Without what a sender gives a receiver the score changes for the planted edges alone."""

    def removed(edge: Edge) -> Hook:
        taken = given(edge.sender, edge.receiver)
        return Hook(edge.receiver, lambda carried: carried - taken)

    def can_read(sender: Unit, receiver: Unit) -> bool:
        return sender.site.depth < receiver.site.depth

    possible = [Edge(s, r) for s, r in product(senders, receivers) if can_read(s, r)]
    assert planted.circuit.edges <= set(possible)
    scores = sweep(model, pairs, [removed(edge) for edge in possible])
    change = (scores - model(pairs)).abs().amax(dim=1)
    matters = change > 1e-2
    found = {edge for edge, is_found in zip(possible, matters.tolist(), strict=True) if is_found}
    assert found == planted.circuit.edges
    assert change[~matters].max() < 1e-3
