"""The information bottleneck as a word attribution: the nats that each token passes on."""

import torch

from ...engine.resume_points import block_outputs
from ...hooks import Hooked
from ...pairs import Pairs
from ..flow.bottleneck import bottleneck, Noise
from .word_attribution import WordAttribution


def passed_information(
    model: Hooked,
    pairs: Pairs,
    *,
    layer: int | None = None,
    reference: Pairs | None = None,
    beta: float | None = None,
    steps: int = 10,
    repeats: int = 10,
    seed: int = 0,
) -> WordAttribution:
    """What each token passes after `layer`, in nats (Jiang et al., 2021, section 3).

    By default after two thirds of the layers, where the paper found the bottleneck to single out
    words best. The noise has the mean and deviation of the tokens of `reference`, by default of
    the pairs themselves. The rest as in `bottleneck`.
    """
    outputs = block_outputs(model)
    layer = round(2 * len(outputs) / 3) - 1 if layer is None else layer
    known = pairs if reference is None else reference
    with torch.no_grad(), model.record(*outputs) as cache:
        model(known)
    noises = [Noise.of(cache[site], known) for site in outputs]
    found = bottleneck(
        model, pairs, noises, layers=[layer], beta=beta, steps=steps, repeats=repeats, seed=seed
    )
    return WordAttribution(f"bottleneck (layer {layer})", pairs, found.nats[0])
