"""Mechanistic interpretability of cross-encoder rerankers."""

from .attribution.recovery import recovery as recovery
from .attribution.sweep import sweep as sweep
from .circuit import Circuit as Circuit, Edge as Edge
from .hooks import Cache as Cache, Hook as Hook, Hooked as Hooked
from .model.encoder import CrossEncoder as CrossEncoder
from .model.load import load as load
from .pairs import Pairs as Pairs, Segment as Segment
from .planted import plant as plant, Planted as Planted
from .sites import (
    each as each,
    head as head,
    heads as heads,
    neuron as neuron,
    Site as Site,
    Unit as Unit,
)
