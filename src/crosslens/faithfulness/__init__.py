"""Circuits scored: how much of what a model does is left when only a circuit is kept."""

from ..attribution.edges.edge_graph import Graph, nodes_of
from .completeness import Completeness as Completeness, completeness
from .curve import Curve as Curve, curve
from .edges import keep_edges
from .export import circuit_tracer_graph, dot, save_circuit_tracer
from .files import SavedCircuit as SavedCircuit
from .growing import connected, growing, ranked, sizes
from .in_ranking import rerank_alone, Reranked as Reranked
from .minimality import Minimality as Minimality, minimality
from .nodes import keep_nodes
from .rest import drawn_from, mean_over
from .restored import Faithfulness as Faithfulness


__all__ = [
    "circuit_tracer_graph",
    "completeness",
    "connected",
    "curve",
    "dot",
    "drawn_from",
    "Graph",
    "growing",
    "keep_edges",
    "keep_nodes",
    "mean_over",
    "minimality",
    "nodes_of",
    "ranked",
    "rerank_alone",
    "save_circuit_tracer",
    "sizes",
]
