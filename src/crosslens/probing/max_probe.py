"""The probe of Zhan et al. (2020): two layers on each vector, the best vector of a pair decides.

The published code pads a batch with zero vectors and takes the maximum over them too, so that what
the probe makes of a zero vector is a score of its own, and how many vectors a pair has matters.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from einops import reduce
from jaxtyping import Bool, Float, Shaped
from torch import nn, Tensor
from torch.nn.utils.rnn import pad_sequence

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

    def __call__(self, rows: np.ndarray, *, is_training: bool) -> Float[Tensor, "pair label"]:
        some = [self.vectors[row] for row in rows]
        x = pad_sequence(some, batch_first=True)
        if not x.shape[1]:
            x = x.new_zeros(len(rows), 1, x.shape[2])
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if is_training:
                kept = torch.rand(x.shape, generator=self.generator) >= self.dropout
                x = x * kept / (1 - self.dropout)
            x = nn.functional.linear(x, weight, bias)
            x = x.tanh() if i == 0 else x
        if self.is_masked:
            n = torch.tensor([len(each) for each in some])
            x = x.masked_fill((torch.arange(x.shape[1]) >= n[:, None])[:, :, None], -torch.inf)
        return reduce(x, "pair vector label -> pair label", "max")

    def fit(self, rows: np.ndarray, labels: Tensor, training: Training) -> None:
        parts = [
            {"params": self.weights, "weight_decay": training.decay},
            {"params": self.biases, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(parts, lr=training.rate, eps=1e-8, fused=True)
        steps = training.epochs * -(-len(rows) // training.batch)
        slower = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        with torch.enable_grad():
            for _ in range(training.epochs):
                order = torch.randperm(len(rows), generator=self.generator).numpy()
                for some in _parts(rows[order], training.batch):
                    logits = self(some, is_training=True)
                    nn.functional.cross_entropy(logits, labels[some].long()).backward()
                    nn.utils.clip_grad_norm_([*self.weights, *self.biases], training.clip)
                    optimizer.step()
                    slower.step()
                    optimizer.zero_grad()

    @torch.no_grad()
    def log_odds(self, rows: np.ndarray, batch: int) -> np.ndarray:
        found = [self(some, is_training=False) for some in _parts(rows, batch)]
        return np.concatenate([(each[:, 1] - each[:, 0]).double().numpy() for each in found])


def _parts(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
