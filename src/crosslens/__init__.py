"""Mechanistic interpretability of cross-encoder rerankers."""
