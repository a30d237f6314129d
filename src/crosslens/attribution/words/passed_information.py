"""The information bottleneck as a word attribution: the nats that each token passes on."""

from collections.abc import Sequence

from ...engine.resume_points import block_outputs
from ...hooks import Hooked
from ...pairs import Pairs
from ..flow.bottleneck import bottleneck, Noise
from ..flow.noise_statistics import noise_statistics
from .word_attribution import WordAttribution


def passed_information(
    model: Hooked,
    pairs: Pairs,
    *,
    layer: int | None = None,
    noise: str | Sequence[Noise] = "dataset",
    reference: Pairs | None = None,
    beta: float | None = None,
    steps: int = 10,
    repeats: int = 10,
    seed: int = 0,
) -> WordAttribution:
    """What each token passes after `layer`, in nats (Jiang et al., 2021, section 3).

    By default after two thirds of the layers, where the paper found the bottleneck to single out
    words best. `noise` is a kind of `noise_statistics`, measured on `reference`; or the noise of
    each layer itself. The rest is as in `bottleneck`.

    Raises:
        LookupError: the model lacks the layer.
    """
    outputs = block_outputs(model)
    layer = round(2 * len(outputs) / 3) - 1 if layer is None else layer
    noises = (
        noise_statistics(model, pairs, noise, reference=reference)
        if isinstance(noise, str)
        else noise
    )
    found = bottleneck(
        model, pairs, noises, layers=[layer], beta=beta, steps=steps, repeats=repeats, seed=seed
    )
    return WordAttribution(f"bottleneck (layer {layer})", pairs, found.nats[0])
