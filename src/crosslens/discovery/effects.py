"""What each unit does for the score: effects, estimates and flows, as one number per unit.

All are sizes. A unit that works against the signal is as much a member as one that works for
it, so methods that tell the sign lose it here.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..attribution.edges.edge_attribution import edge_attribution
from ..attribution.edges.edge_names import LOGITS
from ..attribution.flow.conductance import conductance, padding_baseline
from ..attribution.patching.attribution_patching import attribution_patching
from ..attribution.patching.effects import Effects
from ..attribution.patching.patching import patching
from ..attribution.patching.two_stage_search import search
from ..attribution.paths.path_patching import path_patching
from ..attribution.paths.trace import trace
from ..batching.recorded import recorded
from ..contrasts.contrast import Contrast
from ..engine.sweep import sweep_in_batches
from ..hooks import Cache, Hook, Hooked, is_grouped
from ..interventions.ablate import ablate, mean_of
from ..not_measurable import NotMeasurable
from ..pairs import Pairs
from ..sites import head, HEAD_READS, Site, Unit
from .single_run import layer_and_head


Fixed = Callable[[Unit, Cache, Pairs], Hook]


def size(effects: Effects) -> Float[Tensor, " unit"]:
    """How large the mean effect is; 0 for a unit that no pair has."""
    return effects.mean.abs().nan_to_num(nan=0.0)


def restored(model: Hooked, contrast: Contrast, units: Sequence[Unit]) -> Float[Tensor, " unit"]:
    """What each unit restores of the contrast: exact patching."""
    return size(patching(model, contrast, units))


def taken(model: Hooked, contrast: Contrast, units: Sequence[Unit]) -> Float[Tensor, " unit"]:
    """What of the contrast is lost when each unit is patched from the side without it."""
    return size(patching(model, contrast.reversed, units))


def toward_the_score(
    model: Hooked, contrast: Contrast, units: Sequence[Unit]
) -> Float[Tensor, " unit"]:
    """What each unit restores on its way to the score that passes no other head."""
    return size(path_patching(model, contrast, units))


def in_chain(model: Hooked, contrast: Contrast, units: Sequence[Unit]) -> Float[Tensor, " unit"]:
    """How much each member of the traced chain tells its readers; 0 for those that are none.

    Of several readers, or stages, the largest effect counts.
    """
    found: dict[Unit, float] = {}
    for step in trace(model, contrast, senders=units).steps:
        effect = dict(zip(step.effects.units, size(step.effects).tolist(), strict=True))
        for unit in step.chosen:
            found[unit] = max(found.get(unit, 0.0), effect[unit])
    return torch.tensor([found.get(unit, 0.0) for unit in units])


def searched(model: Hooked, contrast: Contrast, units: Sequence[Unit]) -> Float[Tensor, " unit"]:
    """What the most promising fifth of the units restore; 0 for those that were not patched."""
    effects = search(model, contrast, units)
    found = dict(zip(effects.units, size(effects).tolist(), strict=True))
    return torch.tensor([found.get(unit, 0.0) for unit in units])


def estimated(
    model: Hooked, contrast: Contrast, units: Sequence[Unit], *, steps: int = 0
) -> Float[Tensor, " unit"]:
    """What each unit would restore, to first order."""
    return size(attribution_patching(model, contrast, units, steps=steps))


def to_zero(unit: Unit, cache: Cache, pairs: Pairs) -> Hook:
    """Zero ablation."""
    return ablate(unit)


def to_mean(unit: Unit, cache: Cache, pairs: Pairs) -> Hook:
    """Mean ablation, over all tokens and pairs."""
    return ablate(unit, mean_of(unit, (cache, pairs)))


@torch.no_grad()
def lost(
    model: Hooked, contrast: Contrast, units: Sequence[Unit], *, fixed: Fixed
) -> Float[Tensor, " unit"]:
    """How far the score of the side with the signal moves without the unit: mean size."""
    pairs = contrast.more
    sites = list(dict.fromkeys(unit.site for unit in units))
    cache, plain = recorded(model, pairs, sites)
    scores = sweep_in_batches(model, pairs, [fixed(unit, cache, pairs) for unit in units])
    return (scores - plain).abs().mean(dim=1)


def from_padding(model: Hooked, contrast: Contrast) -> Float[Tensor, "pair pos d_model"]:
    """The baseline that knows nothing of the pair: all words are padding."""
    return padding_baseline(model, contrast.more)


@torch.no_grad()
def from_base(model: Hooked, contrast: Contrast) -> Float[Tensor, "pair pos d_model"]:
    """The baseline that lacks the signal alone: the words of the base."""
    return recorded(model, contrast.base, ["embed"])[0][Site("embed")]


def flow(
    model: Hooked,
    contrast: Contrast,
    units: Sequence[Unit],
    *,
    baseline: Callable[[Hooked, Contrast], Float[Tensor, "pair pos d_model"]],
    steps: int = 24,
) -> Float[Tensor, " unit"]:
    """The size of the mean conductance of each unit on the way from `baseline` to the words.

    Raises:
        ValueError: a unit at some positions; flows are summed over tokens.
    """
    sites = list(dict.fromkeys(unit.site for unit in units))
    for unit in units:
        if {"pos", "dst", "src"} & {axis for axis, _ in unit.coordinates}:
            raise ValueError(f"{unit}: flows are summed over tokens; name the unit without them")
    found = conductance(model, contrast.more, baseline(model, contrast), sites, steps=steps)
    return torch.stack([_without_pos(unit, found[unit.site]).sum().abs() for unit in units])


def _without_pos(unit: Unit, flow: Float[Tensor, "pair ..."]) -> Float[Tensor, "pair ..."]:
    """The unit's part of a site that was summed over tokens."""
    axes = zip(unit.site.axes, unit.index, strict=True)
    return flow[tuple(chosen for axis, chosen in axes if axis != "pos")]


def by_edges(
    model: Hooked, contrast: Contrast, units: Sequence[Unit], *, steps: int = 0
) -> Float[Tensor, " unit"]:
    """The sizes of all edges that leave each head, added up: EAP, with `steps` EAP-IG.

    Raises:
        ValueError: a unit that is no sender of edges, such as a neuron.
    """
    effects = edge_attribution(model, contrast, steps=steps)
    sizes = effects.mean.abs().nan_to_num(nan=0.0).sum(dim=1)
    return sizes[_senders(units, effects.senders)]


def direct_attribution(
    model: Hooked, contrast: Contrast, units: Sequence[Unit]
) -> Float[Tensor, " unit"]:
    """What each head tells the score directly, to first order: its edge to the logits.

    The reranker's direct logit attribution (nostalgebraist, 2020; Elhage et al., 2021).
    """
    effects = edge_attribution(model, contrast)
    to_score = effects.mean[:, effects.receivers.index(LOGITS)]
    return to_score.abs()[_senders(units, effects.senders)]


def _senders(units: Sequence[Unit], senders: Sequence[Unit]) -> list[int]:
    """Where each unit stands among the senders of edges."""
    for unit in units:
        if unit not in senders:
            raise ValueError(f"{unit} sends no edges; heads at z and MLPs at mlp_out do")
    return [senders.index(unit) for unit in units]


def by_reads(model: Hooked, contrast: Contrast, units: Sequence[Unit]) -> Float[Tensor, " unit"]:
    """AtP*: a head by its q, k and v, the softmax exact and cancelling paths apart, added up.

    Units that are no heads at z are estimated as they are (Kramár et al., 2024).
    """
    if is_grouped(model):
        raise NotMeasurable(
            "heads of this model share keys and values, so that no head has an effect by a key of "
            "its own; attribution_patching at z estimates the effect of each head"
        )
    parts = [
        [head(*layer_and_head(unit), read) for read in HEAD_READS]
        if unit.site.name == "z"
        else [unit]
        for unit in units
    ]
    flat = [part for each in parts for part in each]
    sizes = size(
        attribution_patching(model, contrast, flat, exact_softmax=True, grad_drop=True)
    ).split([len(each) for each in parts])
    return torch.stack([each.sum() for each in sizes])
