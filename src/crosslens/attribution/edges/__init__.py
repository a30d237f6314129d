"""Edges between the parts of a model: their names, their effects, and effects to first order."""
