"""Attributions from slopes: integrated gradients at any layer, and gradient times input.

    IG(token) = (x - x') . integral over t of  dF/dx (x' + t (x - x'))      sum over dimensions

x is the stream that a layer reads, x' the same of a baseline; all tokens move together. The sum
over all tokens is F(pair) - F(baseline), up to the error of the quadrature (Sundararajan et al.,
2017; layer by layer as in Zhan et al., 2020, section 3.2).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from numpy.polynomial import legendre
from torch import Tensor

from ...batching.batch_size import BatchSize
from ...batching.batches import by_like_length, liked
from ...batching.recorded import recorded
from ...engine.gradients import slopes
from ...hooks import Hooked
from ...pairs import Pairs
from ...sites import Site
from ..flow.conductance import padding_baseline
from .word_attribution import WordAttribution


@dataclass(frozen=True, eq=False)
class IntegratedGradients(WordAttribution):
    """Integrated gradients with what they should add up to."""

    change: Float[Tensor, " pair"] | None = None  # F(pair) - F(baseline)
    steps: int = 0

    @property
    def error(self) -> Float[Tensor, " pair"]:
        """How far the tokens' sum is from `change`, over `change`: the completeness error."""
        assert self.change is not None
        return (self.token.sum(dim=1) - self.change).abs() / self.change.abs()


def integrated_gradients(
    model: Hooked,
    pairs: Pairs,
    baseline: Float[Tensor, "pair pos d_embed"] | None = None,
    *,
    layer: int = 0,
    steps: int = 32,
    tolerance: float | None = None,
    most_steps: int = 512,
    of: Callable[[Tensor], Tensor] = torch.positive,
) -> IntegratedGradients:
    """What each token adds to the score on the way from `baseline`, in score units.

    Args:
        baseline: the word embeddings of the baseline, as `padded` makes them; positions,
            segments and the mask stay those of the pairs. By default every token of query and
            document is replaced by padding, special tokens stay.
        layer: the block whose input is integrated over; 0 is the output of the embeddings.
        steps: Gauss-Legendre nodes on the way.
        tolerance: the completeness error, over the change in score, at which refining stops: pairs
            above it are run again with twice the steps, up to `most_steps`. None: no refining.
        of: what is attributed in the place of the score: a function of each pair's score, such as
            `torch.sigmoid`, the probability.

    Raises:
        LookupError: the model has no such layer.
        ValueError: fewer than one step, or a baseline of another shape.
    """
    streams = model.sites("resid_pre")
    if not 0 <= layer < len(streams):
        raise LookupError(f"no layer {layer}: the model has layers 0 to {len(streams) - 1}")
    if steps < 1:
        raise ValueError(f"steps={steps}: a way has at least one node")
    if baseline is None:
        baseline = padding_baseline(model, pairs, keep=("cls", "sep1", "sep2"))
    cache, scores = recorded(model, pairs, ["embed", streams[layer]])
    x, words = cache[streams[layer]], cache[Site("embed")]
    if words.shape != baseline.shape:
        raise ValueError(
            f"the baseline has shape {tuple(baseline.shape)}, the word embeddings of the pairs "
            f"{tuple(words.shape)}: build it for these pairs, as `padded` does"
        )
    cache, from_baseline = recorded(model, pairs, [streams[layer]], words=baseline)
    start, change = cache[streams[layer]], of(scores) - of(from_baseline)

    token = torch.zeros_like(x[:, :, 0])
    rows, n = list(range(len(pairs))), steps
    while rows:
        for width, members in pairs.take(rows).like_lengths():

            def integral(some: Sequence[int], width: int = width, n: int = n) -> Tensor:
                way = start[list(some), :width], x[list(some), :width]
                return _integral(model, pairs.take(some, width=width), layer, way, n, of)

            size = BatchSize(liked(width * n, pairs.device.type), tokens=width)
            for some, found in size.batches(integral, [rows[i] for i in members]):
                token[list(some), :width] = found
        off = (token.sum(dim=1) - change).abs() / change.abs()
        rows = [i for i in rows if tolerance is not None and off[i] > tolerance]
        if not rows or 2 * n > most_steps:
            break
        n *= 2
    name = f"integrated gradients (layer {layer})"
    return IntegratedGradients(name, pairs, token, change=change, steps=n)


def gradient_times_input(model: Hooked, pairs: Pairs, *, layer: int = 0) -> WordAttribution:
    """The slope of the score at what a layer reads, times that, summed over dimensions.

    The first-order value of setting a token's stream to 0; in score units.

    Raises:
        LookupError: the model lacks the layer.
    """
    streams = model.sites("resid_pre")
    if not 0 <= layer < len(streams):
        raise LookupError(f"no layer {layer}: the model has layers 0 to {len(streams) - 1}")
    site = streams[layer]
    token = torch.zeros(pairs.token.shape, device=pairs.device)

    def product(rows: list[int], width: int) -> Tensor:
        found = slopes(model, pairs.take(rows, width=width), [site])
        return (found.slope[site] * found.value[site].detach()).sum(dim=-1)

    for rows, values in by_like_length(product, pairs):
        token = token.to(values.dtype)
        token[rows, : values.shape[1]] = values
    return WordAttribution(
        f"gradient x input (layer {layer})", pairs, token * pairs.attended.to(token)
    )


def _integral(
    model: Hooked,
    pairs: Pairs,
    layer: int,
    ends: tuple[Float[Tensor, "pair pos d_model"], Float[Tensor, "pair pos d_model"]],
    steps: int,
    of: Callable[[Tensor], Tensor],
) -> Float[Tensor, "pair pos"]:
    """The integral of the slope along the straight line, times the line, for each token."""
    start, end = ends
    nodes, weights = legendre.leggauss(steps)
    total = torch.zeros_like(end)

    def part(chosen: Sequence[int]) -> Tensor:
        t = torch.as_tensor((nodes[list(chosen)] + 1) / 2).to(end)
        weight = torch.as_tensor(weights[list(chosen)] / 2).to(end)
        way = torch.lerp(start, end, t[:, None, None, None]).requires_grad_()
        with torch.enable_grad():
            score = of(model.suffix(pairs.repeat(len(t)), layer, way.flatten(0, 1))).sum()
            (slope,) = torch.autograd.grad(score, way)
        return torch.tensordot(weight, slope, dims=1)

    width = pairs.token.shape[1]
    size = BatchSize(max(1, 2_000 // (len(pairs) * width)), tokens=width)
    for _, found in size.batches(part, range(steps)):
        total += found
    return ((end - start) * total).sum(dim=-1) * pairs.attended.to(end)
