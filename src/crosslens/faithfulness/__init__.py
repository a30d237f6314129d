"""Circuits scored: how much of what a model does is left when only a circuit is kept."""
