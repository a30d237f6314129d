"""Fine-tuning a reranker, whole, by its embeddings or by another head alone; validation selects."""

from .align import aligned, is_embedding
from .examples import (
    Example as Example,
    examples_of,
    Preference as Preference,
    preferences_of,
    Split as Split,
    split_queries,
)
from .ranker import Ranker as Ranker
from .scoring_heads import SCORING_HEADS as SCORING_HEADS, ScoringHead as ScoringHead
from .tune import (
    best_of,
    cross_entropy,
    Epoch as Epoch,
    preference_loss,
    squared_error,
    tune,
    Tuning as Tuning,
)


__all__ = [
    "aligned",
    "best_of",
    "cross_entropy",
    "examples_of",
    "is_embedding",
    "preference_loss",
    "preferences_of",
    "split_queries",
    "squared_error",
    "tune",
]
