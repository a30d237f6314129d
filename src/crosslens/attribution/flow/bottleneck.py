"""The information bottleneck: which tokens must pass a layer for the pair to stay relevant.

After a layer, each dimension of each token keeps a share lambda of its value and takes the
rest as noise. The shares are trained, pair by pair, to let as little through as the
prediction allows; what passes, in nats, is the token's attribution (Schulz et al., 2020;
Jiang et al., 2021, for reranking).

    t = lambda x + (1 - lambda) eps,   eps ~ N(mean, std^2),   lambda = sigmoid(alpha)
    I = 1/2 [ (lambda x~)^2 + (1 - lambda)^2 - log (1 - lambda)^2 - 1 ],   x~ = (x - mean) / std
    loss = -log p(relevant) + beta mean(I)

Nothing before the layer depends on the shares, so it is computed once for all layers; steps
run the blocks after it, with the noise repetitions of several pairs as one batch. After the
last block only the scored row reaches a score that is read there: no other token is drawn
noise for, and what it passes follows from the price of information alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ...arrays import at_least_float32
from ...batching.batch_size import BatchSize
from ...engine.memory import Footprint
from ...engine.resume_points import block_outputs
from ...hooks import Hooked
from ...pairs import Pairs, sent


@dataclass(frozen=True, eq=False)
class Noise:
    """The Gaussian that takes the place of what a layer's output loses.

    A dimension that does not vary has the deviation 0, and carries no information.
    """

    mean: Float[Tensor, "#pair #pos d_model"]
    std: Float[Tensor, "#pair #pos d_model"]

    @classmethod
    def of(cls, x: Float[Tensor, "pair pos d_model"], pairs: Pairs) -> "Noise":
        """Mean and deviation of each dimension over all tokens of a reference set.

        The method as written: the set should hold a hundred pairs or more.
        """
        tokens = x[pairs.attended]
        mean = tokens.mean(dim=0)[None, None]
        return cls(mean, beyond_rounding(tokens.std(dim=0)[None, None], mean))

    @classmethod
    def of_each(cls, x: Float[Tensor, "pair pos d_model"], pairs: Pairs) -> "Noise":
        """Mean and deviation of each dimension over the tokens of each pair alone."""
        x, dtype = at_least_float32(x), x.dtype  # squares in float16 may have no end
        weight = pairs.attended[:, :, None].to(x.dtype)
        n = weight.sum(dim=1, keepdim=True)
        mean = (x * weight).sum(dim=1, keepdim=True) / n
        variance = ((x - mean).square() * weight).sum(dim=1, keepdim=True) / (n - 1)
        mean, std = mean.to(dtype), variance.sqrt().to(dtype)
        return cls(mean, beyond_rounding(std, mean))

    def take(self, rows: Sequence[int], width: int) -> "Noise":
        """The noise of some pairs, where it differs between them, cut to `width` tokens."""

        def some(x: Tensor) -> Tensor:
            return (x if x.shape[0] == 1 else x[list(rows)])[:, : 1 if x.shape[1] == 1 else width]

        return Noise(some(self.mean), some(self.std))

    def to(self, device: torch.device) -> "Noise":
        """The same noise on another device."""
        return Noise(self.mean.to(device), self.std.to(device))

    def standardised(
        self, x: Float[Tensor, "pair pos d_model"]
    ) -> Float[Tensor, "pair pos d_model"]:
        """Each value less the mean, in the scale of the deviation; 0 where nothing varies."""
        varies = self.std > 0
        return ((x - self.mean) / self.std.where(varies, 1)).where(varies, 0)


def beyond_rounding(
    std: Float[Tensor, "#pair 1 d_model"], mean: Float[Tensor, "#pair 1 d_model"]
) -> Float[Tensor, "#pair 1 d_model"]:
    """Deviations, 0 where they are no more than what rounding does to a stream of this size.

    In units of the last digit of the stream's root mean square: dimensions that a planted model
    leaves empty have .1 at most, its signals 1 or more, those of the embedded reranker 10,000.
    """
    size = (
        torch.finfo(mean.dtype).eps
        * at_least_float32(mean).square().mean(dim=-1, keepdim=True).sqrt()
    )
    return std.where(std > 0.25 * size, 0)


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
    memory_budget: int | None = None,
) -> Passed:
    """The information that each token passes at the output of each of `layers`.

    `noises` has one entry per layer of the model, such as `Noise.of` a reference set. `beta`
    weighs the information against the prediction; by default ten times the ratio of the two
    losses at the start, pair by pair (jiang2021, section 3). Attributions are those of the last
    pass, before its step is taken, as in the reference code: n steps train n - 1 times. Each
    pair draws its own noise from `seed`, so that results do not depend on what shares its
    batch. `memory_budget` is in bytes; by default a quarter of what is free.

    Raises:
        MemoryError: the budget does not hold one repetition for one pair.
        ValueError: not one noise for each layer, no step or repetition, or a beta below 0.
        LookupError: the model lacks one of `layers`.
    """
    if min(steps, repeats) < 1:
        raise ValueError(f"{steps} steps of {repeats} repetitions: both must be at least 1")
    if beta is not None and not 0 <= beta < float("inf"):
        raise ValueError(f"beta={beta}: the price of information is 0 or more, and finite")
    outputs = block_outputs(model)
    if len(noises) != len(outputs):
        raise ValueError(f"{len(noises)} noises for {len(outputs)} layers: give one for each layer")
    noises = [each.to(model.device) for each in noises]
    chosen = tuple(range(len(outputs))) if layers is None else tuple(layers)
    unknown = [layer for layer in chosen if not 0 <= layer < len(outputs)]
    if unknown:
        raise LookupError(f"no layer {unknown}: the model has layers 0 to {len(outputs) - 1}")

    size = Footprint.of(model, pairs, memory_budget)
    rows = size.rows_with_gradients(
        model, pairs, size.rows(each=1), what="one repetition for one pair"
    )

    search = Search(beta, steps, repeats, lr, seed, rows)
    like = at_least_float32(noises[0].mean)
    nats = like.new_zeros(len(chosen), *pairs.token.shape)
    weights = like.new_zeros(len(chosen), len(pairs))

    def squeeze(members: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        some = pairs.take(members)
        width = some.token.shape[1]
        with torch.no_grad(), model.record(*(outputs[layer] for layer in chosen)) as cache:
            model(some)
        return [
            search(model, some, layer, cache[outputs[layer]], noises[layer].take(members, width))
            for layer in chosen
        ]

    order = pairs.lengths.argsort(stable=True).tolist()
    for members, found in BatchSize(max(1, rows // repeats), tokens=size.tokens).batches(
        squeeze, order
    ):
        for i, (passed, weight) in enumerate(found):
            nats[i, list(members), : passed.shape[1]] = passed
            weights[i, list(members)] = weight
    return Passed(chosen, nats, weights)


@dataclass(frozen=True)
class Search:
    """How the shares are trained, and how many rows are one batch."""

    beta: float | None
    steps: int
    repeats: int
    lr: float
    seed: int
    rows: int

    @torch.no_grad()
    def __call__(
        self, model: Hooked, pairs: Pairs, layer: int, x: Tensor, noise: Noise
    ) -> tuple[Float[Tensor, "pair pos"], Float[Tensor, " pair"]]:
        """Train the shares after one layer; what each token passes, and the beta used.

        The model gives the slope of the loss at t; from there to alpha it is written out, so
        that nothing but the blocks after the layer is kept for the way back:

            dt / d alpha = (x - eps) lambda (1 - lambda)
            dI / d alpha = lambda (1 + (1 - lambda) (lambda x~^2 - (1 - lambda)))

        Shares are trained in float32 at least: Adam's squares of slopes are 0 in float16.
        """
        x, noise = (
            at_least_float32(x),
            Noise(at_least_float32(noise.mean), at_least_float32(noise.std)),
        )
        there = pairs.attended
        is_last = layer == len(block_outputs(model)) - 1
        # after the last block, a head that reads one row sees the scored row alone
        read = ...
        if is_last and model.reads_scored_row:
            read = (torch.arange(len(pairs), device=x.device)[:, None], pairs.scored[:, None])
        n_values = there.sum(dim=1) * x.shape[-1]
        normal = noise.standardised(x)
        alpha = torch.full_like(x, 5.0, requires_grad=True)
        optimiser = torch.optim.Adam([alpha], lr=self.lr)
        draws = Draws(self.seed, pairs.lengths.clamp(max=x[read].shape[1]).tolist())
        size = BatchSize(max(1, self.rows // len(pairs)), tokens=x.shape[1])
        weight = None if self.beta is None else x.new_full((len(pairs),), self.beta)
        passed = x.new_zeros(there.shape)
        for step in range(self.steps):
            keep = alpha.sigmoid()
            # 1 - sigmoid loses its last digits near 1; the other sigmoid does not
            lose = (-alpha).sigmoid()
            passed = information(keep, lose, normal).sum(dim=-1).masked_fill(~there, 0)
            if step == self.steps - 1 and weight is not None:
                break  # its slope would train shares that nobody reads
            missed = x.new_zeros(len(pairs))
            at_x, at_noise = torch.zeros_like(x), torch.zeros_like(x)
            eps = draws(self.repeats, x[read])
            mean, std = (keep * x + lose * noise.mean)[read], (lose * noise.std)[read]

            def slopes(
                chosen: Sequence[int], eps: Tensor = eps, mean: Tensor = mean, std: Tensor = std
            ) -> tuple[Tensor, Tensor, Tensor]:
                some = eps[chosen[0] : chosen[-1] + 1]
                loss, slope = self._miss(model, pairs, layer, torch.addcmul(mean, std, some))
                return loss, slope.sum(dim=0), (slope * some).sum(dim=0)

            for _, (loss, of_x, of_noise) in size.batches(slopes, range(self.repeats)):
                missed += loss
                at_x[read] += of_x
                at_noise[read] += of_noise
            squeeze = passed.sum(dim=1) / n_values
            if weight is None:
                weight = 10 * missed / squeeze
            of_score = keep * lose * ((x - noise.mean) * at_x - noise.std * at_noise)
            of_passed = keep * (1 + lose * (keep * normal.square() - lose))
            price = (weight / n_values)[:, None, None] * there[:, :, None]
            alpha.grad = of_score + price * of_passed
            optimiser.step()
        assert weight is not None
        return passed, weight

    def _miss(
        self, model: Hooked, pairs: Pairs, layer: int, squeezed: Float[Tensor, "n pair ..."]
    ) -> tuple[Float[Tensor, " pair"], Float[Tensor, "n pair ..."]]:
        """-log p(relevant), a share of the mean over all repetitions; and its slope at t."""
        n = len(squeezed)
        with torch.enable_grad():
            t = squeezed.requires_grad_()
            rows = rearrange(t, "n pair ... -> (n pair) ...").to(model.dtype)
            score = rearrange(
                model.suffix(pairs.repeat(n), layer + 1, rows), "(n pair) -> n pair", n=n
            )
            # for one logit, and for the log-odds of two
            missed = F.softplus(-score).sum(dim=0) / self.repeats
            (slope,) = torch.autograd.grad(missed.sum(), t)
        return missed.detach(), slope


def information(keep: Tensor, lose: Tensor, normal: Tensor) -> Tensor:
    """KL(N(keep x~, lose^2) || N(0, 1)) of each dimension, in nats (jiang2021, section 1)."""
    return 0.5 * ((keep * normal).square() + lose.square() - 2 * lose.log() - 1)


class Draws:
    """Standard noise, drawn by each pair from the seed anew, on the processor.

    So a seed means the same on every device and in every batch. Pairs of one length draw the same.
    """

    def __init__(self, seed: int, lengths: Sequence[int]) -> None:
        self.lengths = lengths
        self.of_length = {n: torch.Generator().manual_seed(seed) for n in dict.fromkeys(lengths)}

    def __call__(self, n: int, like: Float[Tensor, "pair pos d"]) -> Float[Tensor, "n pair pos d"]:
        """The next `n` draws for each token, in the precision and place of `like`; 0 at padding."""
        drawn = like.new_zeros(n, *like.shape)
        for length, generator in self.of_length.items():
            own = torch.randn(n, length, like.shape[-1], generator=generator, dtype=like.dtype)
            rows = [i for i, each in enumerate(self.lengths) if each == length]
            drawn[:, rows, :length] = sent(own, like.device)[:, None]
        return drawn
