"""A causal reranker that is BM25, written by hand: in a decoder, document tokens read the query."""

from .model import made as made
