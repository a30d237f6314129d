from .attribution.attention.attention_shares import (
    attention_follows as attention_follows,
    attention_shares as attention_shares,
    attention_within_query as attention_within_query,
)
from .attribution.attention.attention_similarity import attention_similarity as attention_similarity
from .attribution.attention.direct_attribution import direct_attribution as direct_attribution
from .attribution.attention.head_maps import (
    HeadMap as HeadMap,
    keys_of_bias as keys_of_bias,
    ov_map as ov_map,
    qk_map as qk_map,
)
from .attribution.attention.match_curves import (
    Bm25Fit as Bm25Fit,
    fit_k as fit_k,
    fit_length as fit_length,
    fit_saturation as fit_saturation,
    length_curve as length_curve,
    MatchCurve as MatchCurve,
    Rise as Rise,
    saturation_curve as saturation_curve,
)
from .attribution.attention.soft_tf import (
    soft_tf as soft_tf,
    soft_tf_gain as soft_tf_gain,
    soft_tf_of_term as soft_tf_of_term,
)
from .attribution.edges.edge_attribution import edge_attribution as edge_attribution
from .attribution.edges.edge_effects import EdgeEffects as EdgeEffects
from .attribution.flow.bottleneck import bottleneck as bottleneck, Noise as Noise, Passed as Passed
from .attribution.flow.conductance import conductance as conductance, Flow as Flow, padded as padded
from .attribution.patching.agreement import Concordance as Concordance, concordance as concordance
from .attribution.patching.attribution_patching import attribution_patching as attribution_patching
from .attribution.patching.effects import Effects as Effects
from .attribution.patching.patch_sets import patch_together as patch_together, Together as Together
from .attribution.patching.patching import patching as patching
from .attribution.patching.recovery import recovery as recovery
from .attribution.patching.rounding import Rounding as Rounding, rounding as rounding
from .attribution.patching.two_stage_search import search as search
from .attribution.paths.chain import Chain as Chain, Step as Step
from .attribution.paths.path_patching import (
    path_edges as path_edges,
    path_patching as path_patching,
)
from .attribution.paths.trace import trace as trace
from .circuit import Circuit as Circuit, Edge as Edge
from .contrasts.axioms import Axioms as Axioms
from .contrasts.contrast import Contrast as Contrast, contrast as contrast, Minimal as Minimal
from .contrasts.synonyms import Neighbours as Neighbours
from .corpora.collection import Collection as Collection
from .corpora.reading import collection as collection
from .discovery.cost import forward_passes as forward_passes
from .discovery.looks import (
    attention_to_matches as attention_to_matches,
    written_of_matches as written_of_matches,
)
from .discovery.methods import (
    discover as discover,
    Discovery as Discovery,
    Method as Method,
    methods_for as methods_for,
)
from .effectiveness import (
    agreement as agreement,
    compare as compare,
    evaluate as evaluate,
    relevant_from as relevant_from,
)
from .engine.sweep import sweep as sweep
from .faithfulness.completeness import (
    Completeness as Completeness,
    completeness as completeness,
)
from .faithfulness.curve import Curve as Curve, curve as curve
from .faithfulness.edges import keep_edges as keep_edges
from .faithfulness.files import SavedCircuit as SavedCircuit
from .faithfulness.graph import Graph as Graph, nodes as nodes
from .faithfulness.growing import (
    connected as connected,
    growing as growing,
    ranked as ranked,
    sizes as sizes,
)
from .faithfulness.in_ranking import rerank_alone as rerank_alone, Reranked as Reranked
from .faithfulness.minimality import Minimality as Minimality, minimality as minimality
from .faithfulness.nodes import keep_nodes as keep_nodes
from .faithfulness.rest import drawn_from as drawn_from, mean_over as mean_over
from .faithfulness.restored import Faithfulness as Faithfulness
from .findings import Findings as Findings
from .hooks import (
    Cache as Cache,
    HasWeights as HasWeights,
    HeadWeights as HeadWeights,
    Hook as Hook,
    Hooked as Hooked,
)
from .idf.correlation import directions_of as directions_of, idf_correlations as idf_correlations
from .idf.direction import idf_direction as idf_direction, IdfDirection as IdfDirection
from .idf.doses import dose_response as dose_response, idf_doses as idf_doses
from .idf.token_idf import TokenIdf as TokenIdf
from .interventions.ablate import (
    ablate as ablate,
    mean_of as mean_of,
    position_mean_of as position_mean_of,
    resample as resample,
)
from .interventions.edit import (
    edit_coordinate as edit_coordinate,
    edit_rows as edit_rows,
    move_rows as move_rows,
    scale_coordinate as scale_coordinate,
    scale_rows as scale_rows,
    Singular as Singular,
    singular as singular,
)
from .interventions.mask import attention_mask as attention_mask, token_mask as token_mask
from .interventions.noise import noise as noise
from .interventions.patch import patch as patch
from .interventions.path import direct as direct, path as path
from .model.encoder import CrossEncoder as CrossEncoder
from .model.load import load as load
from .pairs import Pairs as Pairs, Segment as Segment
from .planted import plant as plant, Planted as Planted, Recipe as Recipe
from .ranking import rerank as rerank, Run as Run
from .signals.bm25 import bm25 as bm25, Bm25Index as Bm25Index
from .signals.frequency import Frequencies as Frequencies, tokenize as tokenize
from .sites import (
    each as each,
    head as head,
    heads as heads,
    neuron as neuron,
    Site as Site,
    Unit as Unit,
)
from .statistics import (
    auroc as auroc,
    average_precision as average_precision,
    benjamini_hochberg as benjamini_hochberg,
    bootstrap_interval as bootstrap_interval,
    r_precision as r_precision,
    spearman as spearman,
)
from .surrogate.bm25_grid import BestColumn as BestColumn, bm25_grid as bm25_grid
from .surrogate.comparison import (
    compare_formulas as compare_formulas,
    fit_formula as fit_formula,
    formulas_of as formulas_of,
)
from .surrogate.features import by_place as by_place, Features as Features, shared as shared
from .surrogate.fit import (
    by_pair as by_pair,
    by_query as by_query,
    Fit as Fit,
    fit_score as fit_score,
    linear as linear,
    ridge as ridge,
)
from .surrogate.observe import (
    observe as observe,
    observe_candidates as observe_candidates,
    Observed as Observed,
)
from .surrogate.quality import Quality as Quality, quality as quality
from .surrogate.queries import first_tokens as first_tokens
from .surrogate.rankings import ranking_agreement as ranking_agreement
from .tuning.align import aligned as aligned, embeddings as embeddings
from .tuning.examples import (
    Example as Example,
    examples_of as examples_of,
    Split as Split,
    split_queries as split_queries,
)
from .tuning.tune import (
    best_of as best_of,
    cross_entropy as cross_entropy,
    Epoch as Epoch,
    squared_error as squared_error,
    tune as tune,
    Tuning as Tuning,
)
