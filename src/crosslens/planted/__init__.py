"""Models whose circuit is written by hand, so that methods can be tested against the truth."""

from .causal.recipe import CausalRecipe
from .names import Recipe
from .plant import plant as plant
from .planted import Planted as Planted


__all__ = [
    "CausalRecipe",
    "Recipe",
]
