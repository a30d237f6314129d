"""Attribution patching: what every unit would restore of a contrast, to first order.

    effect(unit)  ~  (source - base) . dF/d unit,   the slope taken at the base run

Two forward passes and one backward serve all units at once, where exact patching needs a
forward pass for each (Nanda, 2023; Syed et al., 2023, https://arxiv.org/abs/2310.10348). It is
exact where the score is linear in the unit, and wrong where it is curved: three remedies are
options. `steps` averages the slope over the way from base to source. Two are those of AtP*
(Kramár et al., 2024, https://arxiv.org/abs/2403.00745):

- `exact_softmax`: softmax is the sharpest curve between a query or key and the score. Where a
  `q` or `k` is patched, its head's pattern is computed anew and only what follows is linear,
      effect(q) ~ (pattern(q_source, k_base) - pattern(q_base, k_base)) . dF/d pattern
- `grad_drop`: where a unit's direct and indirect effects cancel, a small error of one hides
  both. The slope is taken once for each of the L blocks, as if what that block writes were
  constant; a unit's size is the sum of the absolute estimates over L - 1, for the unit's own
  block says nothing of it. A unit that acts through several blocks in one direction comes
  out smaller than it is: this is for what the plain estimate misses, not in its place.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ...batching.batch_size import BatchSize
from ...contrasts.contrast import Contrast
from ...engine.contrast_runs import ContrastRuns
from ...engine.gradients import graphs_at_once, on_the_way, slopes
from ...engine.sweep import Progress
from ...hooks import Cache, Hooked, require_inside, Tap
from ...pairs import Pairs
from ...sites import Site, Unit
from .effects import Effects


READ_BY: Final = {"q": "dst", "k": "src"}  # the axis of the pattern along which a unit's pos lies
WRITES: Final = ("attn_out", "mlp_out")


@torch.no_grad()
def attribution_patching(
    model: Hooked,
    contrast: Contrast,
    units: Sequence[Unit],
    *,
    steps: int = 0,
    exact_softmax: bool = False,
    grad_drop: bool = False,
    at_once: int = 8,
    memory_budget: int | None = None,
    progress: Progress | None = None,
    runs: ContrastRuns | None = None,
) -> Effects:
    """The share of `contrast` that each unit restores, as `patching` gives it, to first order.

    Args:
        units: of any kind that `patching` takes.
        steps: 0 for the slope at the base; n for the mean of n on the way to the source.
        exact_softmax: patterns under a patched `q` or `k` are exact; two further forward passes.
        grad_drop: estimates are sizes, without a sign; a forward and backward pass per block.
        at_once: how many pairs may be one batch; fewer are, where memory runs out.
        memory_budget: in bytes; by default a quarter of what is free.
        progress: called with (done, total) pairs.
        runs: the runs of this contrast without hooks, if they are to be shared.

    Raises:
        ValueError: no pair has a contrast; or `exact_softmax` for a part of a query or key.
        LookupError: a unit that the model does not have.
    """
    sites = sorted({unit.site for unit in units}, key=lambda site: site.depth)
    softened = [site for site in sites if exact_softmax and site.name in READ_BY]
    parts = [unit for unit in units if unit.site in softened and "d_head" in dict(unit.coordinates)]
    if parts:
        raise ValueError(
            f"{parts[0]} is a part of a query or key, and has no pattern of its own: take the "
            "whole head, or exact_softmax=False"
        )
    blocks = [site.layer for site in model.sites("resid_pre")]
    if grad_drop and len(blocks) < 2:
        raise ValueError("grad_drop leaves out one block at a time; this model has no other")
    patterns = [Site("pattern", site.layer) for site in softened]
    scores = [Site("attn_scores", site.layer) for site in softened]
    sloped = list(dict.fromkeys([*(site for site in sites if site not in softened), *patterns]))
    kept = list(dict.fromkeys([Site("embed"), *sites, *scores, *patterns]))

    if runs is None:
        fit = graphs_at_once(model, contrast.base, at_once, memory_budget)
        runs = ContrastRuns(model, contrast, units, at_once=fit, budget=0)

    is_plain = steps == 0 and not grad_drop  # one pass then gives both values and slopes

    def of(some: Sequence[int]) -> torch.Tensor:
        rows = tuple(some)
        pairs = runs.pairs("base", rows)
        source, target = runs.run("more", rows, kept)
        with runs.narrowed():
            also = dict.fromkeys([*kept, *runs.wanted])
            plain, base, slope = slopes(model, pairs, sloped if is_plain else [], also=also)
            runs.keep("base", rows, Cache({site: base[site] for site in runs.wanted}), plain)
            for unit in units:
                require_inside(unit, base[unit.site])
            run = Run(pairs, base, source, _rescored(model, pairs, base, source, softened))
            if is_plain:
                change = _first_order(units, run, slope)
            elif not grad_drop:
                change = _first_order(units, run, _slope(model, run, sloped, steps))
            else:
                dropped = [
                    _first_order(units, run, _slope(model, run, sloped, steps, _still(block)))
                    for block in blocks
                ]
                size = torch.stack(dropped).abs().sum(dim=0) / (len(blocks) - 1)
                change = size * (target - plain).sign()  # so that no pair's recovery is negative
        return change

    changes, done = [], 0
    for bundle in runs.bundles:
        size = BatchSize(len(bundle), tokens=int(contrast.base.lengths[list(bundle)].max()))
        for rows, change in size.batches(of, bundle):
            changes.append(change)
            done += len(rows)
            if progress is not None:
                progress(done, len(contrast))
    change = runs.gathered(changes)
    return Effects.of_change(contrast, units, change, runs.scores("base"), runs.scores("more"))


class Run(NamedTuple):
    """Both sides of some pairs."""

    pairs: Pairs
    base: Cache
    source: Cache
    scores: Mapping[Site, Float[Tensor, "pair head dst src"]]  # at base, but for this q or k


def _slope(
    model: Hooked,
    run: Run,
    sites: Sequence[Site],
    steps: int,
    taps: Sequence[tuple[Site, Tap]] = (),
) -> dict[Site, Tensor]:
    """The slope at each site, on average over the points that `steps` asks for."""
    mean: dict[Site, Tensor] = {}
    points = list(on_the_way(run.base, run.source, steps))
    for words in points:
        here = slopes(model, run.pairs, sites, words=words, taps=taps).slope
        for site, slope in here.items():
            share = slope / len(points)
            mean[site] = mean[site] + share if site in mean else share
    return mean


def _first_order(
    units: Sequence[Unit], run: Run, slope: Mapping[Site, Tensor]
) -> Float[Tensor, "unit pair"]:
    """What each unit changes the score by, if the score goes on as its slope says."""
    moved = {site: run.source[site] - run.base[site] for site in slope}
    return torch.stack(
        [
            _by_pattern(unit, run, slope)
            if unit.site in run.scores
            else _summed(unit, moved[unit.site], slope[unit.site], run.pairs)
            for unit in units
        ]
    )


def _summed(unit: Unit, moved: Tensor, slope: Tensor, pairs: Pairs) -> Float[Tensor, " pair"]:
    """The scalar product of the two over the unit, pair by pair."""
    product = moved[unit.index] * slope[unit.index]
    if unit.named:
        product = product * pairs.mask(unit.left, unit.named)
    return product.flatten(1).sum(dim=1)


def _by_pattern(unit: Unit, run: Run, slope: Mapping[Site, Tensor]) -> Float[Tensor, " pair"]:
    """The same for a query or key, with the softmax that it goes through exact."""
    axis, layer = READ_BY[unit.site.name], unit.site.layer
    whole = Site("pattern", layer)
    at = {axis if name == "pos" else name: place for name, place in unit.coordinates}
    scores = run.scores[unit.site]
    if "src" in at:  # the other keys stay as they were
        plain = run.base[Site("attn_scores", layer)]
        scores = torch.where(_places(whole.at(**at), scores, run.pairs), scores, plain)
        del at["src"]
    moved = scores.softmax(dim=-1) - run.base[whole]
    parts = [whole.at(**at)]
    if "head" in at:  # with grouped queries several heads read one key
        n = run.base[unit.site].shape[2]
        shared, own = scores.shape[1] // n, int(at["head"]) % n
        heads = range(own * shared, (own + 1) * shared)
        parts = [whole.at(**(at | {"head": head})) for head in heads]
    return torch.stack([_summed(part, moved, slope[whole], run.pairs) for part in parts]).sum(dim=0)


def _places(unit: Unit, scores: Tensor, pairs: Pairs) -> Tensor:
    """The sources that a unit of a pattern names or numbers, to broadcast over `scores`."""
    place = dict(unit.coordinates)["src"]
    if isinstance(place, str):
        return pairs.mask(unit.site.axes, {"src": place})
    there = torch.zeros(scores.shape[-1], dtype=torch.bool, device=scores.device)
    there[place] = True
    return there


def _rescored(
    model: Hooked, pairs: Pairs, base: Cache, source: Cache, sites: Sequence[Site]
) -> dict[Site, Float[Tensor, "pair head dst src"]]:
    """The attention scores of the base run, but for each `q` or `k` from the source.

    One pass serves all queries and one all keys: the scores are put back as they were once
    seen, so that the next block reads what it read. Row i depends on the i-th query alone,
    column j on the j-th key, so any part of them can be taken from these.
    """
    found: dict[Site, Tensor] = {}

    def give(site: Site) -> Tap:
        return lambda _: source[site]

    def see(site: Site) -> Tap:
        def keep(scores: Tensor) -> Tensor:
            found[site] = scores
            return base[Site("attn_scores", site.layer)]

        return keep

    for name in READ_BY:
        chosen = [site for site in sites if site.name == name]
        taps = [(site, give(site)) for site in chosen]
        taps += [(Site("attn_scores", site.layer), see(site)) for site in chosen]
        if chosen:
            with model.tapped(taps):
                model(pairs)
    return found


def _still(layer: int | None) -> list[tuple[Site, Tap]]:
    """Taps through which no slope reaches what a block writes."""
    return [(Site(name, layer), torch.Tensor.detach) for name in WRITES]
