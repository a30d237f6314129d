"""The probe of Zhan et al. (2020): two layers on each vector, the best vector of a pair decides.

The published code pads a batch with zero vectors and takes the maximum over them too, so that what
the probe makes of a zero vector is a score of its own, and how many vectors a pair has matters.

Where memory runs out, a batch runs in halves, padded as the whole and with the whole's dropout.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from einops import reduce
from jaxtyping import Bool, Float, Shaped
from torch import nn, Tensor
from torch.nn.utils.rnn import pad_sequence

from ..batching.batch_size import BatchSize
from .features import Features
from .held_out import HeldOut, splits


class Training(NamedTuple):
    """How the probe is fitted; the defaults are the paper's."""

    epochs: int = 5
    rate: float = 1e-4
    batch: int = 32  # pairs
    dropout: float = 0.1
    decay: float = 1e-5  # of weights, not of biases
    clip: float = 1.0


def max_probe(
    features: Features,
    layer: int,
    labels: Bool[np.ndarray, " pair"],
    query: Shaped[np.ndarray, " pair"],
    *,
    train: Bool[np.ndarray, " pair"] | None = None,
    is_padding_masked: bool = True,
    training: Training = Training(),  # noqa: B008  a frozen value
    folds: int = 5,
    seed: int = 0,
) -> HeldOut:
    """What the probe predicts of each pair when fitted to pairs of other queries, as log odds.

    Masked, a pair without a vector gets the mean prediction; as published (not masked) it is scored
    from the zero vectors of the padding.

    Raises:
        NotMeasurable: no pair has a vector, fewer than two queries, or labels that are all alike
            where a probe is fitted.
    """
    counts = features.counts.numpy()
    there = counts > 0 if is_padding_masked else np.ones(len(counts), dtype=bool)
    vectors = features.vectors[layer].float().split(counts.tolist())
    usable = there if train is None else there & train
    predicted = np.zeros(len(labels))
    for fold, (fitted, judged) in enumerate(splits(labels, query, usable, folds=folds, seed=seed)):
        generator = torch.Generator().manual_seed(seed * folds + fold)
        probe = _Probe(vectors, is_padding_masked, training.dropout, generator)
        probe.fit(fitted, torch.tensor(labels), training)
        some = judged[there[judged]]
        predicted[some] = probe.log_odds(some, training.batch)
        predicted[judged[~there[judged]]] = predicted[some].mean() if len(some) else 0.0
    return HeldOut(labels, predicted, query)


class _Probe:
    """Linear, tanh, linear on each vector; the maximum over a pair's vectors, class by class."""

    def __init__(
        self,
        vectors: tuple[Tensor, ...],
        is_masked: bool,
        dropout: float,
        generator: torch.Generator,
    ) -> None:
        d = vectors[0].shape[1]
        self.vectors, self.is_masked = vectors, is_masked
        self.dropout, self.generator = dropout, generator
        self.weights = [nn.Parameter(torch.randn(n, d, generator=generator) * 0.02) for n in (d, 2)]
        self.biases = [nn.Parameter(torch.zeros(n)) for n in (d, 2)]

    def __call__(
        self, rows: np.ndarray, width: int, kept: Sequence[Bool[Tensor, "pair vector d"]] = ()
    ) -> Float[Tensor, "pair label"]:
        """The logits of pairs padded to `width` vectors; `kept` is what dropout leaves of both."""
        some = [self.vectors[row] for row in rows]
        x = pad_sequence(some, batch_first=True)
        x = nn.functional.pad(x, (0, 0, 0, width - x.shape[1]))
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if kept:
                x = x * kept[i] / (1 - self.dropout)
            x = nn.functional.linear(x, weight, bias)
            x = x.tanh() if i == 0 else x
        if self.is_masked:
            n = torch.tensor([len(each) for each in some])
            x = x.masked_fill((torch.arange(x.shape[1]) >= n[:, None])[:, :, None], -torch.inf)
        return reduce(x, "pair vector label -> pair label", "max")

    def width(self, rows: np.ndarray) -> int:
        """The vectors to which a batch is padded: that of its parts too, where memory runs out."""
        return max(1, *(len(self.vectors[row]) for row in rows))

    def fit(self, rows: np.ndarray, labels: Tensor, training: Training) -> None:
        parts = [
            {"params": self.weights, "weight_decay": training.decay},
            {"params": self.biases, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(parts, lr=training.rate, eps=1e-8, fused=True)
        steps = training.epochs * -(-len(rows) // training.batch)
        slower = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        size = BatchSize(training.batch, item="pair of a probe")
        with torch.enable_grad():
            for _ in range(training.epochs):
                order = torch.randperm(len(rows), generator=self.generator).numpy()
                for some in _parts(rows[order], training.batch):
                    self._differentiate(some, labels, size)
                    nn.utils.clip_grad_norm_([*self.weights, *self.biases], training.clip)
                    optimizer.step()
                    slower.step()
                    optimizer.zero_grad()

    def _differentiate(self, some: np.ndarray, labels: Tensor, size: BatchSize) -> None:
        """Give the parameters the gradient of a batch's mean loss.

        What dropout leaves is drawn for the whole batch: its parts are then the same, in whatever
        parts it runs.
        """
        width, parameters = self.width(some), [*self.weights, *self.biases]
        shape = (len(some), width, self.weights[0].shape[1])
        kept = [torch.rand(shape, generator=self.generator) >= self.dropout for _ in self.weights]

        def run(places: Sequence[int]) -> tuple[Tensor, ...]:
            at = list(places)
            logits = self(some[at], width, [each[at] for each in kept])
            loss = nn.functional.cross_entropy(logits, labels[some[at]].long())
            return torch.autograd.grad(loss * (len(at) / len(some)), parameters)

        for _, found in size.batches(run, range(len(some))):
            for parameter, gradient in zip(parameters, found, strict=True):
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient

    @torch.no_grad()
    def log_odds(self, rows: np.ndarray, batch: int) -> np.ndarray:
        size = BatchSize(batch, item="pair of a probe")
        found = []
        for some in _parts(rows, batch):
            width = self.width(some)
            for _, logits in size.batches(
                lambda at, some=some, width=width: self(some[list(at)], width), range(len(some))
            ):
                found.append((logits[:, 1] - logits[:, 0]).double().numpy())
        return np.concatenate(found)


def _parts(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
