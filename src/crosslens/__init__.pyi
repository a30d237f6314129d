from . import (
    adapters as adapters,
    attention as attention,
    attribution as attribution,
    batching as batching,
    contrasts as contrasts,
    corpora as corpora,
    discovery as discovery,
    effectiveness as effectiveness,
    exploration as exploration,
    faithfulness as faithfulness,
    idf as idf,
    interventions as interventions,
    neurons as neurons,
    planted as planted,
    probing as probing,
    signals as signals,
    stats as stats,
    surrogate as surrogate,
    tuning as tuning,
    words as words,
)
from .attribution.attention.direct_attribution import direct_attribution as direct_attribution
from .attribution.edges.edge_attribution import edge_attribution as edge_attribution
from .attribution.flow.bottleneck import bottleneck as bottleneck
from .attribution.flow.conductance import conductance as conductance
from .attribution.patching.attribution_patching import attribution_patching as attribution_patching
from .attribution.patching.patching import patching as patching
from .attribution.patching.two_stage_search import search as search
from .attribution.paths.path_patching import (
    path_edges as path_edges,
    path_patching as path_patching,
)
from .attribution.paths.trace import trace as trace
from .circuit import Circuit as Circuit, Edge as Edge
from .contrasts.axioms import Axioms as Axioms
from .contrasts.contrast import Contrast as Contrast, contrast as contrast
from .corpora.collection import Collection as Collection
from .corpora.reading import collection as collection
from .discovery.methods import discover as discover, methods_for as methods_for
from .effectiveness import compare as compare, evaluate as evaluate
from .engine.sweep import sweep as sweep
from .explanation.explain import explain as explain
from .explanation.explanation import Explanation as Explanation
from .faithfulness.files import SavedCircuit as SavedCircuit
from .findings import Findings as Findings
from .hooks import (
    Cache as Cache,
    Hook as Hook,
    Hooked as Hooked,
)
from .interventions.ablate import ablate as ablate, mean_of as mean_of, resample as resample
from .interventions.mask import attention_mask as attention_mask, token_mask as token_mask
from .interventions.noise import noise as noise
from .interventions.patch import patch as patch
from .interventions.path import direct_path as direct_path, path as path
from .model.activation_cache import PairCache as PairCache
from .model.config import Config as Config
from .model.encoder import CrossEncoder as CrossEncoder
from .model.load import load as load
from .not_measurable import NotMeasurable as NotMeasurable
from .pairs import Pairs as Pairs, Segment as Segment
from .planted import plant as plant
from .ranking import Run as Run
from .reranking.rerank import rerank as rerank
from .signals.bm25 import Bm25Index as Bm25Index
from .signals.frequency import tokenize as tokenize
from .sites import (
    head as head,
    heads as heads,
    neuron as neuron,
    Site as Site,
    Unit as Unit,
    units_at as units_at,
)
