"""Neuron flow: the conductance of every neuron, pair by pair, and its mean over a class of pairs.

Vast et al. (2024), section 3: the flow of a neuron is summed over tokens and averaged over the
pairs of a collection that were judged, and are predicted, relevant (scheme P) or not (scheme N).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from ..attribution.flow.conductance import conductance, Target
from ..hooks import Hooked
from ..not_measurable import NotMeasurable
from ..pairs import Pairs
from .neurons import Neurons


@dataclass(frozen=True, eq=False)
class NeuronFlow:
    """The signed flow of every neuron in every pair, in units of the target, and its error."""

    neurons: Neurons
    values: Float[np.ndarray, "pair neuron"]
    error: Float[np.ndarray, " pair"]  # completeness, over the change in score

    def mean(self, kept: Bool[np.ndarray, " pair"], what: str = "kept") -> np.ndarray:
        """The mean flow of each neuron over some pairs.

        Raises:
            NotMeasurable: there is no such pair.
        """
        if not kept.any():
            raise NotMeasurable(f"no {what} pair among {len(kept)}: there is no flow to average")
        return self.values[kept].mean(axis=0)


def neuron_flow(
    model: Hooked,
    pairs: Pairs,
    baseline: Float[Tensor, "pair pos d_embed"],
    *,
    neurons: Neurons | None = None,
    target: Target | None = None,
    steps: int = 20,
    memory_budget: int | None = None,
) -> NeuronFlow:
    """The conductance of `neurons`, by default all outputs of linear maps, on the way from
    `baseline` to each pair. Target, by default the score, steps and budget as in `conductance`."""
    known = Neurons.of(model, pairs) if neurons is None else neurons
    flow = conductance(
        model,
        pairs,
        baseline,
        list(known.shapes),
        target=target,
        steps=steps,
        memory_budget=memory_budget,
    )
    return NeuronFlow(known, known.gather(flow.sites), flow.error.numpy(force=True))


def agreeing(
    scores: Float[np.ndarray | Tensor, " pair"],
    is_relevant: Sequence[bool],
    *,
    threshold: float = 0.0,
) -> tuple[Bool[np.ndarray, " pair"], Bool[np.ndarray, " pair"]]:
    """The pairs whose prediction agrees with the judgement: relevant ones, and others.

    A pair is predicted relevant where its score is above `threshold`, by default 0: the log-odds
    of one half.

    Raises:
        ValueError: not one judgement for each score.
    """
    values = scores.numpy(force=True) if isinstance(scores, Tensor) else scores
    predicted = values > threshold
    judged = np.asarray(is_relevant, dtype=bool)
    if predicted.shape != judged.shape:
        raise ValueError(f"{len(predicted)} scores for {len(judged)} judgements")
    return predicted & judged, ~predicted & ~judged
