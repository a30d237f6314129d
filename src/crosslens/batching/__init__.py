"""Batches: pairs of like length together, and fewer at once where memory has run out."""
