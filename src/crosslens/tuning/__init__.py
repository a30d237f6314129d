"""Fine-tuning a reranker, whole or by its embeddings alone, and selected on validation queries."""

from .align import aligned, is_embedding
from .examples import Example as Example, examples_of, Split as Split, split_queries
from .tune import best_of, cross_entropy, Epoch as Epoch, squared_error, tune, Tuning as Tuning


__all__ = [
    "aligned",
    "best_of",
    "cross_entropy",
    "examples_of",
    "is_embedding",
    "split_queries",
    "squared_error",
    "tune",
]
