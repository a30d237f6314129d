"""Path patching: what every sender tells a receiver, or the score, directly.

Each sender in turn gets what it was in the run with the signal, while all that heads write is
held at the base; so nothing reaches a receiver by way of another head (`interventions.path`,
which says the same in hooks, one sender at a time). With heads held no token learns of
another: what a sender changes passes LayerNorms and MLPs token by token, and a pass along the
paths is those alone, for the tokens that changed and are read. Of a score that [CLS] decides,
that is one token; and where a receiver is overwritten, the base run resumes at its block.

Wang et al. (2022); Lu et al. (2025), section 4.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ...batching.batches import by_length
from ...contrasts.contrast import Contrast
from ...engine.memory import Footprint
from ...engine.sweep import Progress
from ...hooks import Hooked
from ...sites import Unit
from ..edges.edge_effects import EdgeEffects
from ..edges.edge_names import LOGITS
from ..patching.effects import Effects
from .path_passes import Bundle
from .path_plan import Paths


@torch.no_grad()
def path_patching(
    model: Hooked,
    contrast: Contrast,
    senders: Sequence[Unit],
    receivers: Sequence[Unit] = (),
    *,
    held: Sequence[str] = ("z",),
    least: float | None = None,
    at_once: int = 16,
    memory_budget: int | None = None,
    progress: Progress | None = None,
) -> Effects:
    """The share of `contrast` that each sender restores by way of `receivers`, all at once.

    Without receivers: on its way to the score that passes no other head. A receiver is what a
    head reads with (`q`, `k`, `v`) or what a neuron reads (`mlp_pre`), at all positions or
    some; a sender that comes after all receivers tells them nothing.

    Args:
        senders: heads (`z`), writes (`attn_out`, `mlp_out`), neurons, embeddings or the stream.
        held: the sites that stay as in the base run: ("z",), or ("z", "mlp_out") to close paths
            through MLPs.
        least: as in `patching`.
        at_once: how many pairs may be one bundle, whose base run is recorded; fewer are, where
            memory runs out.
        memory_budget: in bytes; by default a quarter of what is free.
        progress: called with (done, total) cells, a sender in one pair each.

    Raises:
        ValueError: a sender or receiver that what is held cuts off.
        NotMeasurable: no pair has a contrast.
        MemoryError: the budget does not hold one pair.
    """
    paths = Paths.of(model, contrast.base, senders, [tuple(receivers)], held)
    change, base, target = changes(paths, contrast, at_once, memory_budget, progress)
    return Effects.of_change(contrast, senders, change[:, 0], base, target, least=least)


@torch.no_grad()
def path_edges(
    model: Hooked,
    contrast: Contrast,
    senders: Sequence[Unit],
    receivers: Sequence[Unit],
    *,
    held: Sequence[str] = ("z",),
    least: float | None = None,
    at_once: int = 16,
    memory_budget: int | None = None,
    progress: Progress | None = None,
) -> EdgeEffects:
    """The share of `contrast` that each sender restores by way of each receiver alone.

    What `edge_attribution` estimates, exactly, for any senders and receivers of
    `path_patching`; `Site("logits").at()` as a receiver is the score. Heads between the two are
    held, MLPs between them pass on what they hear unless `held` has "mlp_out".
    """
    groups = [() if receiver == LOGITS else (receiver,) for receiver in receivers]
    paths = Paths.of(model, contrast.base, senders, groups, held)
    change, base, target = changes(paths, contrast, at_once, memory_budget, progress)
    return EdgeEffects.of_change(contrast, senders, receivers, change, base, target, least=least)


def changes(
    paths: Paths,
    contrast: Contrast,
    at_once: int,
    memory_budget: int | None,
    progress: Progress | None = None,
) -> tuple[Float[Tensor, "sender group pair"], Float[Tensor, " pair"], Float[Tensor, " pair"]]:
    """The change of the score along each path, and the scores of both sides of the contrast."""
    size = Footprint.of(paths.model, contrast.base, memory_budget)
    each = size.of_sites(paths.of_base) + size.of_sites(paths.of_source)
    row = size.block + size.of_sites(paths.of_held)
    at_once = size.fit(at_once, each=each + row, what="path patching in one pair")

    found: list[tuple[Tensor, Tensor, Tensor]] = []
    order: list[int] = []

    def run(chosen: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        rows = size.rows(each=row, beside=each * len(chosen))
        bundle = Bundle.of(paths, contrast.take(chosen), rows)
        return bundle.changes(), bundle.plain, bundle.target

    for chosen, part in by_length(run, contrast.base, at_once):
        found.append(part)
        order += chosen
        if progress is not None:
            n = len(paths.senders)
            progress(n * len(order), n * len(contrast))
    back = torch.tensor(order).argsort()
    change, base, target = (torch.cat(part, dim=-1)[..., back] for part in zip(*found, strict=True))
    return change, base, target
