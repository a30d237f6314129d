"""Random numbers of each pair: the same in every run and batch, and on every device.

An edit that draws takes one seed from its generator when it is made. Each pair then has a generator
of its own, made of that seed and of the pair's number among those it was made with
(`Pairs.numbers`), on the processor. So what is drawn does not depend on what runs beside the pair,
nor on whether a batch was halved because memory ran out.
"""

from zlib import crc32

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..pairs import Pairs, sent
from ..sites import PLACES


def seed_from(generator: torch.Generator) -> int:
    """One draw of `generator`, from which all that an edit draws follows."""
    return int(torch.randint(2**62, (), generator=generator, device=generator.device))


def generator_of(seed: int, number: int) -> torch.Generator:
    """That of the pair with this number."""
    return torch.Generator().manual_seed(crc32(f"{seed} {number}".encode()))


def places_in(n: int, pairs: Pairs) -> Int[Tensor, "pair n"]:
    """The positions that an axis of `n` has, in main memory: all, or the scored row alone."""
    if n == 1 < pairs.token.shape[1]:
        return pairs.scored.cpu()[:, None]
    return torch.arange(n).expand(len(pairs), n)


def standard_normal(
    seed: int, axes: tuple[str, ...], like: Float[Tensor, "pair ..."], pairs: Pairs
) -> Float[Tensor, "pair ..."]:
    """Independent draws of mean 0 and deviation 1 for what stands at the tokens of each pair.

    In the shape, precision and place of `like`, whose axes are `axes`; 0 at padding.
    """
    drawn = torch.zeros(like.shape, dtype=like.dtype)
    lengths, width = pairs.lengths.tolist(), pairs.token.shape[1]
    scored = pairs.scored.tolist()
    for i, (number, length) in enumerate(zip(pairs.numbers, lengths, strict=True)):
        inner = list(zip(axes[1:], like.shape[1:], strict=True))
        shape = [length if axis in PLACES else n for axis, n in inner]
        own = torch.randn(shape, generator=generator_of(seed, number), dtype=like.dtype)
        for dim, (axis, n) in enumerate(inner):
            if axis in PLACES and n == 1 < width:  # the scored row alone is computed
                own = own.narrow(dim, scored[i], 1)
        drawn[i][tuple(slice(n) for n in own.shape)] = own
    return sent(drawn, like.device)
