"""Ablation: fix a unit to a value that knows nothing of the pair before the model.

    ablate(unit)                                      nothing at all
    ablate(unit, mean_of(unit, (cache, pairs)))       what it usually says
    ablate(unit, position_mean_of(unit, ...))         what it usually says there
    resample(unit, cache, pairs, generator=g)         what it said of some other pair

A *reference* is a cache and the pairs it was recorded on, which tell tokens from padding:
padding enters no mean and no sample.
"""

from collections.abc import Iterator
from functools import cache as cached, reduce

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..hooks import Cache, Hook
from ..pairs import Pairs, sent
from ..sites import Unit
from .draws import generator_of, places_in, seed_from
from .fit import fit


Reference = tuple[Cache, Pairs]


def ablate(unit: Unit, value: Float[Tensor, "..."] | float = 0.0) -> Hook:
    """Fix `unit` to `value`, zero by default.

    A tensor has the last axes of what the unit carries, and is repeated over the others; one
    that does not fit is a `ValueError` when the hook fires.
    """
    return Hook(unit, lambda carried: fit(value, carried, unit))


def mean_of(unit: Unit, *references: Reference) -> Float[Tensor, "..."]:
    """The mean of `unit` over all pairs, and all tokens that it names, of the references.

    Axes and scale: those of what the unit carries, without pair and position.
    """
    total, count = _sums(unit, references, _axes(unit))
    return (total / count).to(references[0][0][unit.site].dtype)


def position_mean_of(
    unit: Unit, *references: Reference, width: int | None = None
) -> Float[Tensor, "..."]:
    """The mean of `unit` at each position, over the pairs that have a token there.

    Axes and scale: those of what the unit carries, without pair. `width` is how many positions
    the pairs to be ablated have, where that is not the width of the widest reference. A position
    that no reference reaches gets the mean over all positions.
    """
    overall = mean_of(unit, *references)
    if "pos" not in unit.left:
        return overall
    total, count = _sums(unit, references, (0,))
    here = torch.where(count > 0, (total / count.clamp(min=1)).to(overall.dtype), overall)
    if width is None:
        return here
    beyond = overall.expand(max(width - len(here), 0), *overall.shape)
    return torch.cat((here[:width], beyond))


def resample(unit: Unit, cache: Cache, pairs: Pairs, *, generator: torch.Generator) -> Hook:
    """Give `unit` in every pair what it was in a random one of `pairs`, recorded in `cache`.

    A token gets the value at its own position in the pair drawn, or, where that is padding or
    not among the tokens that the unit names, at a random one of those that are. Any number of
    pairs, of any width, may run. The draw is made from `generator` once: the hook is a frozen
    value, and gives the same pairs (`Pairs.numbers`) the same donors in every run, in whatever
    batches and on whatever device.

    Chan et al. (2022), causal scrubbing.

    Raises:
        ValueError: no reference pair has a token of the unit.
    """
    real = _real(unit, pairs)
    donors = real.reshape(len(pairs), -1).any(dim=1).nonzero().flatten()
    if not len(donors):
        raise ValueError(f"the reference pairs have no token of {unit}: nothing to draw from")
    value = _recorded(unit, cache, pairs)
    seed = seed_from(generator)

    @cached
    def drawn(number: int, length: int) -> tuple[int, Tensor]:
        chance = generator_of(seed, number)
        donor = int(torch.randint(len(donors), (), generator=chance))
        return donor, torch.rand(length, generator=chance)

    def draw(carried: Tensor, running: Pairs) -> Tensor:
        lengths = running.lengths.tolist()
        which, lots = zip(*map(drawn, running.numbers, lengths), strict=True)
        donor = donors[torch.tensor(which)]
        if "pos" not in unit.left:
            return value[donor]
        own = places_in(carried.shape[1], running)
        lot = pad_sequence([*lots, torch.zeros(running.token.shape[1])], batch_first=True)
        lot = lot[:-1].gather(1, own)
        return value[
            donor[:, None], _places(real[donor], sent(lot, real.device), sent(own, real.device))
        ]

    return Hook(unit, draw, sees_pairs=True)


def _places(
    real: Bool[Tensor, "pair donor_pos"],
    lot: Float[Tensor, "pair pos"],
    own: Int[Tensor, "pair pos"],
) -> Int[Tensor, "pair pos"]:
    """Which position of its donor every token copies: its `own` if real, else one by lot."""
    count = real.sum(dim=1, keepdim=True)
    first_real = (~real).long().argsort(dim=1, stable=True)
    spare = first_real.gather(1, (lot * count).long().clamp(max=count - 1))
    inside = own.clamp(max=real.shape[1] - 1)
    return torch.where((own == inside) & real.gather(1, inside), own, spare)


def _sums(
    unit: Unit, references: tuple[Reference, ...], axes: tuple[int, ...]
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """The sum of `unit` over `axes`, and over how many tokens, of all references together."""
    parts = list(_parts(unit, references, axes))
    if not parts:
        raise ValueError(
            f"none of {len(references)} references has a token of {unit}: nothing to average; "
            "give some that do, as in mean_of(unit, (cache, pairs))"
        )
    return reduce(_plus, (total for total, _ in parts)), reduce(_plus, (n for _, n in parts))


def _parts(
    unit: Unit, references: tuple[Reference, ...], axes: tuple[int, ...]
) -> Iterator[tuple[Tensor, Tensor]]:
    for cache, pairs in references:
        real = _real(unit, pairs)
        if not real.any():
            continue
        value = _recorded(unit, cache, pairs)
        real = real.reshape(*real.shape, *(1,) * (value.dim() - real.dim()))
        zeroed = torch.where(real, value, torch.zeros_like(value))
        exact = torch.promote_types(value.dtype, torch.float32)  # float16 counts to 65,504
        yield zeroed.sum(dim=axes, dtype=exact), real.sum(dim=axes, dtype=exact)


def _plus(a: Tensor, b: Tensor) -> Tensor:
    """Their sum, where the one with fewer positions has zeros beyond its last."""
    if a.shape == b.shape:
        return a + b
    wide, slim = (a, b) if len(a) > len(b) else (b, a)
    return wide + torch.cat((slim, slim.new_zeros(len(wide) - len(slim), *slim.shape[1:])))


def _axes(unit: Unit) -> tuple[int, ...]:
    """The places of pair and position among the axes that `unit` carries."""
    return tuple(i for i, axis in enumerate(unit.left) if axis in ("pair", "pos"))


def _real(unit: Unit, pairs: Pairs) -> Bool[Tensor, "pair ..."]:
    """The tokens that `unit` means, never padding; of each pair, if it has one position or none."""
    if "pos" not in unit.site.axes:
        return torch.ones(len(pairs), dtype=torch.bool, device=pairs.device)
    meant = dict(unit.coordinates).get("pos")
    if isinstance(meant, int):
        inside = meant < pairs.token.shape[1]
        return pairs.attended[:, meant] if inside else torch.zeros_like(pairs.cut, dtype=torch.bool)
    return pairs.attended & pairs.where(meant) if meant else pairs.attended


def _recorded(unit: Unit, cache: Cache, pairs: Pairs) -> Float[Tensor, "pair ..."]:
    """The unit's part of `cache`, if that was recorded on `pairs`."""
    if "dst" in unit.site.axes:
        raise ValueError(
            f"{unit}: attention over pairs of unequal length has no mean and no sample that "
            "is attention; ablate the head's z, or cut single edges with attention_mask"
        )
    whole = cache[unit.site]
    found, expected = tuple(whole.shape[:2]), tuple(pairs.token.shape)
    if "pos" not in unit.site.axes:
        found, expected = found[:1], expected[:1]
    if found != expected:
        raise ValueError(
            f"the cache of {unit.site} has {found} pairs and positions, its reference pairs "
            f"{expected}: give the pairs on which the cache was recorded"
        )
    return whole[unit.index]
