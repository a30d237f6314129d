"""What one run shows, without an intervention: the cheapest ways to guess at a circuit.

None of them asks what the score does with what it sees. A head that attends to matches and is
never read looks like one that counts them (Jain and Wallace, 2019, for attention).
"""

from collections.abc import Callable, Sequence

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from ..batching.batches import by_length
from ..contrasts.contrast import Contrast
from ..engine.gradients import graphs_at_once, slopes
from ..hooks import Cache, document_reads, Hooked, served
from ..pairs import Pairs
from ..sites import head, Site, Unit


AT_ONCE = 8  # pairs in one batch


def copies(pairs: Pairs) -> Bool[Tensor, "pair dst src"]:
    """Which document tokens (src) are the same as which query token (dst)."""
    same = pairs.token[:, :, None] == pairs.token[:, None, :]
    return same & pairs.where("query")[:, :, None] & pairs.where("document")[:, None, :]


@torch.no_grad()
def attention_to_matches(model: Hooked, pairs: Pairs) -> Float[Tensor, "layer head"]:
    """Attention from query tokens to their copies in the document, above chance.

    Or from document tokens to their copies in the query, in a decoder that is given the query
    first. The mean over all readers that have a copy; chance is attention spread evenly over the
    pair.

    Raises:
        ValueError: no query token of any pair occurs in its document.
    """

    def look(some: Pairs, matches: Tensor) -> Tensor:
        matched = matches.any(dim=-1)
        chance = matches.sum(dim=-1) / some.lengths[:, None]
        seen: list[Tensor] = []

        def count(pattern: Tensor) -> None:
            attention = (pattern * matches[:, None]).sum(dim=-1)
            seen.append(((attention - chance[:, None]) * matched[:, None]).sum(dim=(0, 2)))

        # summed as it passes: the patterns of all layers together may not fit into memory
        with model.tapped([(site, count) for site in model.sites("pattern")]):
            model(some)
        return torch.stack(seen)

    return _per_match(model, pairs, look)


@torch.no_grad()
def written_of_matches(model: Hooked, pairs: Pairs) -> Float[Tensor, "layer head"]:
    """How large what query tokens write of their copies is: |sum of pattern * v * W_O|.

    Attention weighs little where the value is small or W_O drops it (Kobayashi et al., 2020,
    https://arxiv.org/abs/2004.10102). The mean norm, in the scale of the
    stream, over query tokens that have a copy.

    Raises:
        ValueError: no query token of any pair occurs in its document.
    """
    sites = [site for name in ("pattern", "v", "attn_out") for site in model.sites(name)]

    def look(some: Pairs, matches: Tensor) -> Tensor:
        matched = matches.any(dim=-1)
        with model.record(*sites) as cache:
            model(some)
        seen: list[Tensor] = []

        def read(layer: int | None) -> Tensor:
            pattern, v = cache[Site("pattern", layer)], cache[Site("v", layer)]
            pattern, v = pattern * matches[:, None], served(v, pattern.shape[1])
            return einsum(pattern, v, "pair head dst src, pair src head d -> pair dst head d")

        def weigh(result: Tensor) -> None:
            seen.append((result.norm(dim=-1) * matched[..., None]).sum(dim=(0, 1)))

        # the model applies its own W_O; what the block then adds is put back as it was
        with model.tapped(
            [
                tap
                for site in model.sites("z")
                for tap in (
                    (site, lambda _, layer=site.layer: read(layer)),
                    (Site("result", site.layer), weigh),
                    (
                        Site("attn_out", site.layer),
                        lambda _, i=site.layer: cache[Site("attn_out", i)],
                    ),
                )
            ]
        ):
            model(some)
        return torch.stack(seen)

    return _per_match(model, pairs, look)


def _per_match(
    model: Hooked, pairs: Pairs, look: Callable[[Pairs, Tensor], Tensor]
) -> Float[Tensor, "layer head"]:
    """The sum of what `look` sees in some pairs at a time, per query token that has a copy."""
    parts, n_matched = [], 0

    def run(rows: list[int]) -> tuple[int, Tensor]:
        some = pairs.take(rows)
        matches = copies(some).mT if document_reads(model, some) else copies(some)
        return int(matches.any(dim=-1).sum()), look(some, matches)

    for _, (n, seen) in by_length(run, pairs, AT_ONCE):
        n_matched += n
        parts.append(seen)
    if not n_matched:
        raise ValueError("no query token occurs in its document: there is nothing to match")
    return torch.stack(parts).sum(dim=0) / n_matched


def attending(model: Hooked, contrast: Contrast, units: Sequence[Unit]) -> Float[Tensor, " unit"]:
    """`attention_to_matches` of these heads, on the side with the signal."""
    return _of_heads(attention_to_matches(model, contrast.more), units)


def writing(model: Hooked, contrast: Contrast, units: Sequence[Unit]) -> Float[Tensor, " unit"]:
    """`written_of_matches` of these heads, on the side with the signal."""
    return _of_heads(written_of_matches(model, contrast.more), units)


def _of_heads(
    numbers: Float[Tensor, "layer head"], units: Sequence[Unit]
) -> Float[Tensor, " unit"]:
    return torch.stack([numbers[layer_and_head(unit)] for unit in units])


def layer_and_head(unit: Unit) -> tuple[int, int]:
    """Where a head stands.

    Raises:
        ValueError: a unit that is no whole head.
    """
    layer, at = unit.site.layer, dict(unit.coordinates)
    index = at.pop("head", None)
    if layer is None or not isinstance(index, int) or at:
        raise ValueError(f"{unit} is no head; heads are written as in head(3, 7): {head(3, 7)}")
    return layer, index


@torch.no_grad()
def activation_difference(
    model: Hooked, contrast: Contrast, units: Sequence[Unit]
) -> Float[Tensor, " unit"]:
    """How far each unit lies apart on the two sides: the mean norm of the difference."""
    sites = list(dict.fromkeys(unit.site for unit in units))

    def apart(rows: list[int]) -> Tensor:
        pairs, more = contrast.base.take(rows), contrast.more.take(rows)
        sides: list[Cache] = []
        for side in (pairs, more):
            with model.record(*sites) as cache:
                model(side)
            sides.append(cache)
        moved = [_named(unit, sides[1][unit] - sides[0][unit], pairs) for unit in units]
        return torch.stack([each.flatten(1).norm(dim=1).sum().cpu() for each in moved])

    found = [each for _, each in by_length(apart, contrast.base, AT_ONCE)]
    return torch.stack(found).sum(dim=0) / len(contrast)


@torch.no_grad()
def gradient_times_activation(
    model: Hooked, contrast: Contrast, units: Sequence[Unit]
) -> Float[Tensor, " unit"]:
    """|activation . slope| of each unit on the side with the signal, on average over pairs."""
    sites = list(dict.fromkeys(unit.site for unit in units))
    at_once = graphs_at_once(model, contrast.more, AT_ONCE, None)

    def products(rows: list[int]) -> Tensor:
        pairs = contrast.more.take(rows)
        run = slopes(model, pairs, sites)
        each = [run.value[unit].detach() * run.slope[unit.site][unit.index] for unit in units]
        kept = [_named(unit, product, pairs) for unit, product in zip(units, each, strict=True)]
        return torch.stack([k.flatten(1).sum(dim=1).abs().sum().cpu() for k in kept])

    found = [each for _, each in by_length(products, contrast.more, at_once)]
    return torch.stack(found).sum(dim=0) / len(contrast)


def _named(unit: Unit, value: Float[Tensor, "pair ..."], pairs: Pairs) -> Float[Tensor, "pair ..."]:
    """What of `value` stands at the tokens that the unit means; never padding."""
    if unit.named:
        return value * pairs.mask(unit.left, unit.named)
    if unit.left[:2] != ("pair", "pos"):
        return value
    real = rearrange(pairs.attended, "pair pos -> pair pos" + " 1" * (value.dim() - 2))
    return value * real
