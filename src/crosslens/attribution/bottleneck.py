"""The information bottleneck: which tokens must pass a layer for the pair to stay relevant.

After a layer, each dimension of each token keeps a share lambda of its value and takes the
rest as noise. The shares are trained, pair by pair, to let as little through as the
prediction allows; what passes, in nats, is the token's attribution (Schulz et al., 2020;
Jiang et al., 2021, for reranking).

    t = lambda x + (1 - lambda) eps,   eps ~ N(mean, std^2),   lambda = sigmoid(alpha)
    I = 1/2 [ (lambda x~)^2 + (1 - lambda)^2 - log (1 - lambda)^2 - 1 ],   x~ = (x - mean) / std
    loss = -log p(relevant) + beta mean(I)

Nothing before the layer depends on the shares, so it is computed once for all layers; steps
run the blocks after it, with the noise repetitions of several pairs as one batch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..hooks import Hooked
from ..pairs import Pairs
from .entry import block_outputs


@dataclass(frozen=True, eq=False)
class Noise:
    """The Gaussian that takes the place of what a layer's output loses."""

    mean: Float[Tensor, "#pair #pos d_model"]
    std: Float[Tensor, "#pair #pos d_model"]

    @classmethod
    def of(cls, x: Float[Tensor, "pair pos d_model"], pairs: Pairs) -> "Noise":
        """Mean and deviation of each dimension over all tokens of a reference set.

        The method as written: the set should hold a hundred pairs or more.
        """
        tokens = x[pairs.attended]
        return cls(tokens.mean(dim=0)[None, None], tokens.std(dim=0)[None, None])

    @classmethod
    def of_each(cls, x: Float[Tensor, "pair pos d_model"], pairs: Pairs) -> "Noise":
        """Mean and deviation of each dimension over the tokens of each pair alone."""
        weight = pairs.attended[:, :, None].to(x.dtype)
        n = weight.sum(dim=1, keepdim=True)
        mean = (x * weight).sum(dim=1, keepdim=True) / n
        variance = ((x - mean).square() * weight).sum(dim=1, keepdim=True) / (n - 1)
        return cls(mean, variance.sqrt())


@dataclass(frozen=True, eq=False)
class Passed:
    """The information each token passes on, in nats, layer by layer."""

    layers: tuple[int, ...]
    nats: Float[Tensor, "layer pair pos"]  # 0 at padding
    beta: Float[Tensor, "layer pair"]

    def scaled(self, pairs: Pairs) -> Float[Tensor, "layer pair pos"]:
        """Min-max to [0, 1] within each pair, as jiang2021 draws it; 0 at padding."""
        there = pairs.attended
        low = self.nats.masked_fill(~there, torch.inf).amin(dim=-1, keepdim=True)
        high = self.nats.masked_fill(~there, -torch.inf).amax(dim=-1, keepdim=True)
        return ((self.nats - low) / (high - low).clamp(min=1e-12)).masked_fill(~there, 0)


def bottleneck(
    model: Hooked,
    pairs: Pairs,
    noises: Sequence[Noise],
    *,
    layers: Iterable[int] | None = None,
    beta: float | None = None,
    steps: int = 10,
    repeats: int = 10,
    lr: float = 1.0,
    seed: int = 0,
) -> Passed:
    """The information that each token passes at the output of each of `layers`.

    `noises` has one entry per layer of the model, such as `Noise.of` a reference set. `beta`
    weighs the information against the prediction; by default ten times the ratio of the two
    losses at the start, pair by pair (jiang2021, section 3). Attributions are those of the last
    pass, before its step is taken, as in the reference code. Each pair draws its own noise
    from `seed`, so that results do not depend on what shares its batch.
    """
    outputs = block_outputs(model)
    if len(noises) != len(outputs):
        raise ValueError(f"{len(noises)} noises for {len(outputs)} layers: give one for each layer")
    chosen = tuple(range(len(outputs))) if layers is None else tuple(layers)
    unknown = [layer for layer in chosen if not 0 <= layer < len(outputs)]
    if unknown:
        raise LookupError(f"no layer {unknown}: the model has layers 0 to {len(outputs) - 1}")

    with torch.no_grad(), model.record(*(outputs[layer] for layer in chosen)) as cache:
        model(pairs)
    found = [
        _squeeze(
            model, pairs, layer, cache[outputs[layer]], noises[layer],
            beta=beta, steps=steps, repeats=repeats, lr=lr, seed=seed,
        )
        for layer in chosen
    ]  # fmt: skip
    nats, weights = zip(*found, strict=True)
    return Passed(chosen, torch.stack(nats), torch.stack(weights))


def _squeeze(
    model: Hooked,
    pairs: Pairs,
    layer: int,
    x: Tensor,
    noise: Noise,
    *,
    beta: float | None,
    steps: int,
    repeats: int,
    lr: float,
    seed: int,
) -> tuple[Float[Tensor, "pair pos"], Float[Tensor, " pair"]]:
    """Train the shares after one layer; what each token passes, and the beta used."""
    there = pairs.attended
    n_values = there.sum(dim=1) * x.shape[-1]
    normal = (x - noise.mean) / noise.std
    alpha = torch.full_like(x, 5.0, requires_grad=True)
    optimiser = torch.optim.Adam([alpha], lr=lr)
    generators = [torch.Generator(x.device).manual_seed(seed) for _ in range(len(pairs))]
    many = pairs.repeat(repeats)
    weight = None if beta is None else x.new_full((len(pairs),), beta)
    for _ in range(steps):
        with torch.enable_grad():
            keep = alpha.sigmoid()
            # 1 - sigmoid loses its last digits near 1; the other sigmoid does not
            lose = (-alpha).sigmoid()
            passed = information(keep, lose, normal).sum(dim=-1).masked_fill(~there, 0)
            drawn = noise.mean + noise.std * _draw(generators, pairs, repeats, x)
            squeezed = keep * x + lose * drawn
            score = model.suffix(many, layer + 1, rearrange(squeezed, "n pair ... -> (n pair) ..."))
            # -log p(relevant), for one logit and for the log-odds of two
            missed = F.softplus(-rearrange(score, "(n pair) -> n pair", n=repeats)).mean(dim=0)
            squeeze = passed.sum(dim=1) / n_values
            if weight is None:
                weight = 10 * (missed / squeeze).detach()
            (gradient,) = torch.autograd.grad((missed + weight * squeeze).sum(), alpha)
        alpha.grad = gradient
        optimiser.step()
    assert weight is not None
    return passed.detach(), weight


def information(keep: Tensor, lose: Tensor, normal: Tensor) -> Tensor:
    """KL(N(keep x~, lose^2) || N(0, 1)) of each dimension, in nats (jiang2021, section 1)."""
    return 0.5 * ((keep * normal).square() + lose.square() - 2 * lose.log() - 1)


def _draw(
    generators: Sequence[torch.Generator], pairs: Pairs, n: int, like: Tensor
) -> Float[Tensor, "n pair pos d_model"]:
    """Standard noise; each pair's own tokens from its own generator."""
    drawn = like.new_zeros(n, *like.shape)
    for i, (generator, length) in enumerate(zip(generators, pairs.lengths.tolist(), strict=True)):
        drawn[:, i, :length] = torch.randn(
            n, length, like.shape[-1], generator=generator, dtype=like.dtype, device=like.device
        )
    return drawn
