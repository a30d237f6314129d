"""Neurons: the outputs of a model's linear maps, how much of the score flows through each, and
what goes when some are silenced."""

from .ablation import (
    ablation_row,
    controls,
    gain_by_query,
    over_collections,
    silenced_scores,
    with_false_discoveries,
)
from .baselines import Baseline as Baseline, baseline, BASELINES, preference
from .candidates import relevant_and_bm25
from .class_flow import ClassFlow
from .neuron_flow import agreeing, neuron_flow, NeuronFlow as NeuronFlow
from .neurons import Neurons
from .overlaps import Overlap as Overlap, overlap
from .scheme_sets import scheme_sets, SchemeSets as SchemeSets
from .schemes import intersection, Scheme
from .silencing import silence, single_ablation
from .targets import target, TARGETS


__all__ = [
    "BASELINES",
    "TARGETS",
    "ClassFlow",
    "Neurons",
    "Scheme",
    "ablation_row",
    "agreeing",
    "baseline",
    "controls",
    "gain_by_query",
    "intersection",
    "neuron_flow",
    "over_collections",
    "overlap",
    "preference",
    "relevant_and_bm25",
    "scheme_sets",
    "silence",
    "silenced_scores",
    "single_ablation",
    "target",
    "with_false_discoveries",
]
