"""Attention heads: what they attend to, how they saturate, and what their weights compute."""

from .attribution.attention.attention_shares import (
    attention_follows,
    attention_shares,
    attention_within_query,
)
from .attribution.attention.attention_similarity import attention_similarity
from .attribution.attention.head_maps import HeadMap as HeadMap, keys_of_bias, ov_map, qk_map
from .attribution.attention.match_curves import (
    Bm25Fit as Bm25Fit,
    fit_k,
    fit_length,
    fit_saturation,
    length_curve,
    MatchCurve as MatchCurve,
    Rise as Rise,
    saturation_curve,
)
from .attribution.attention.soft_tf import soft_tf, soft_tf_gain, soft_tf_of_term


__all__ = [
    "attention_follows",
    "attention_shares",
    "attention_similarity",
    "attention_within_query",
    "fit_k",
    "fit_length",
    "fit_saturation",
    "keys_of_bias",
    "length_curve",
    "ov_map",
    "qk_map",
    "saturation_curve",
    "soft_tf",
    "soft_tf_gain",
    "soft_tf_of_term",
]
