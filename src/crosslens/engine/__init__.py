"""Exact runs of a model: what to compute, from where, in which batches, within how much memory."""
