"""The noise of the bottleneck, by the three readings of "estimated empirically".

Jiang et al. (2021), section 3, leave open over what mean and deviation are taken; the code of the
2020 sibling paper does a third thing.

    dataset         over all tokens of a reference set of pairs: the method as written
    example         over the tokens of each pair alone
    reference code  mean: what the block *reads*, token by token; deviation: sqrt(1e-5) everywhere,
                    so that the share that is lost gives way to the block's own input
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from ...batching.batch_size import BatchSize
from ...batching.recorded import recorded
from ...engine.resume_points import block_outputs
from ...hooks import Hooked
from ...pairs import Pairs
from .bottleneck import beyond_rounding, Noise


STATISTICS: Final = ("dataset", "example", "reference code")
_CODE_STD: Final = 1e-5**0.5  # one example's variance is 0; the code adds 1e-5 before the root


@torch.no_grad()
def noise_statistics(
    model: Hooked,
    pairs: Pairs,
    kind: str = "dataset",
    *,
    reference: Pairs | None = None,
) -> list[Noise]:
    """One noise for the output of each layer, for `bottleneck` of `pairs`.

    `reference` is the set that "dataset" measures, by default the pairs themselves; a hundred
    pairs or more are enough.

    Raises:
        ValueError: a kind that is none of the three.
    """
    outputs = block_outputs(model)
    if kind == "dataset":
        return _of_dataset(model, pairs if reference is None else reference)
    if kind == "example":
        cache, _ = recorded(model, pairs, outputs)
        return [Noise.of_each(cache[site], pairs) for site in outputs]
    if kind == "reference code":
        inputs = model.sites("resid_pre")
        cache, _ = recorded(model, pairs, inputs)
        return [
            Noise(cache[site], torch.full_like(cache[site][:1, :1], _CODE_STD)) for site in inputs
        ]
    raise ValueError(f"the statistics of the noise are one of {STATISTICS}, not {kind!r}")


def _of_dataset(model: Hooked, reference: Pairs) -> list[Noise]:
    """Mean and deviation of each dimension over all tokens, a few pairs in memory at a time."""
    outputs = block_outputs(model)
    n, total, squares = 0, [], []

    def states(rows: Sequence[int]) -> Tensor:
        some = reference.take(rows)
        with model.record(*outputs) as cache:
            model(some)
        return torch.stack([cache[site][some.attended] for site in outputs])

    parts = (
        here
        for width, rows in reference.like_lengths(at_once=32)
        for _, here in BatchSize(len(rows), tokens=width).batches(states, rows)
    )
    origin = None  # near the mean, so that the squares of a large one do not cancel
    for here in parts:
        origin = here[:, 0] if origin is None else origin
        tokens = here.double() - origin.double()[:, None]
        n += tokens.shape[1]
        total.append(tokens.sum(dim=1))
        squares.append(tokens.square().sum(dim=1))
    assert origin is not None
    shift = torch.stack(total).sum(dim=0) / n
    variance = (torch.stack(squares).sum(dim=0) - n * shift.square()).clamp(min=0) / (n - 1)
    both = zip((origin.double() + shift).to(origin), variance.sqrt().to(origin), strict=True)
    return [Noise(m[None, None], beyond_rounding(s[None, None], m[None, None])) for m, s in both]
