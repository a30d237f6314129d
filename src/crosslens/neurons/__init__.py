"""Neurons: the outputs of a model's linear maps, how much of the score flows through each, and
what goes when some are silenced."""

from .neuron_flow import agreeing, neuron_flow, NeuronFlow as NeuronFlow
from .neurons import Neurons
from .schemes import intersection, Scheme
from .silencing import silence, single_ablation


__all__ = [
    "agreeing",
    "intersection",
    "neuron_flow",
    "Neurons",
    "Scheme",
    "silence",
    "single_ablation",
]
