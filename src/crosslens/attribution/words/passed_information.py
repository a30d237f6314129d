"""The information bottleneck as a word attribution: the nats that each token passes on."""

from ...engine.resume_points import block_outputs
from ...hooks import Hooked
from ...pairs import Pairs
from ..flow.bottleneck import bottleneck
from ..flow.noise_statistics import noise_statistics
from .word_attribution import WordAttribution


def passed_information(
    model: Hooked,
    pairs: Pairs,
    *,
    layer: int | None = None,
    noise: str = "dataset",
    reference: Pairs | None = None,
    beta: float | None = None,
    steps: int = 10,
    repeats: int = 10,
    seed: int = 0,
) -> WordAttribution:
    """What each token passes after `layer`, in nats (Jiang et al., 2021, section 3).

    By default after two thirds of the layers, where the paper found the bottleneck to single out
    words best. `noise` and `reference` as in `noise_statistics`, the rest as in `bottleneck`.
    """
    outputs = block_outputs(model)
    layer = round(2 * len(outputs) / 3) - 1 if layer is None else layer
    noises = noise_statistics(model, pairs, noise, reference=reference)
    found = bottleneck(
        model, pairs, noises, layers=[layer], beta=beta, steps=steps, repeats=repeats, seed=seed
    )
    return WordAttribution(f"bottleneck (layer {layer})", pairs, found.nats[0])
