"""The same for edges: one number for each, from exact paths, by gradient, from its two ends."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..attribution.edges.edge_attribution import edge_attribution
from ..attribution.edges.edge_effects import EdgeEffects
from ..attribution.edges.edge_names import INPUT, LOGITS
from ..attribution.patching.attribution_patching import attribution_patching
from ..attribution.paths.path_patching import path_edges
from ..circuit import Edge
from ..contrasts.contrast import Contrast
from ..hooks import Hooked, is_grouped, read_of
from ..not_measurable import NotMeasurable
from ..sites import HEAD_READS
from .effects import size


def restored(model: Hooked, contrast: Contrast, edges: Sequence[Edge]) -> Float[Tensor, " edge"]:
    """What each edge restores on its own, exactly: nothing else passes on what it says."""
    senders, receivers = (list(dict.fromkeys(ends)) for ends in zip(*edges, strict=True))
    if is_grouped(model):
        raise NotMeasurable(
            "heads of this model share keys and values, so that no hook gives one of them alone "
            "another; `edge_attribution` estimates edges head by head, `keep_edges` runs them"
        )
    found = path_edges(model, contrast, senders, receivers, held=("z", "mlp_out"))
    return of_each(found, edges)


def estimated(
    model: Hooked, contrast: Contrast, edges: Sequence[Edge], *, steps: int = 0
) -> Float[Tensor, " edge"]:
    """The size of the mean effect of each edge: EAP, with `steps` EAP-IG."""
    return of_each(edge_attribution(model, contrast, steps=steps), edges)


def by_ends(model: Hooked, contrast: Contrast, edges: Sequence[Edge]) -> Float[Tensor, " edge"]:
    """The product of what both ends restore, to first order: a guess from nodes alone.

    The input and the logits carry all there is: 1.
    """
    ends = list(dict.fromkeys(unit for edge in edges for unit in edge))
    inner = [unit for unit in ends if unit != LOGITS]
    at = [read_of(model, u, u.site.name) if u.site.name in HEAD_READS else u for u in inner]
    found = size(attribution_patching(model, contrast, at))
    value = dict(zip(inner, found.tolist(), strict=True))
    value |= {INPUT: 1.0, LOGITS: 1.0}
    return torch.tensor([value[sender] * value[receiver] for sender, receiver in edges])


def of_each(effects: EdgeEffects, edges: Sequence[Edge]) -> Float[Tensor, " edge"]:
    """The sizes of the mean effects of these edges."""
    row = {unit: i for i, unit in enumerate(effects.senders)}
    column = {unit: i for i, unit in enumerate(effects.receivers)}
    found = effects.mean.abs().nan_to_num(nan=0.0)
    at = torch.tensor([(row[sender], column[receiver]) for sender, receiver in edges])
    return found[at[:, 0], at[:, 1]]
