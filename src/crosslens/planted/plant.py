"""From a name or a recipe to the planted model that it describes."""

from collections.abc import Sequence

import torch

from . import bm25, causal
from .causal.recipe import CausalRecipe
from .names import kind_of, PREFIX, Recipe
from .planted import Planted
from .vocabulary import default_frequencies, frequencies_in, Lexicon


AnyRecipe = Recipe | CausalRecipe


def plant(recipe: str | AnyRecipe = "bm25", *, documents: Sequence[str] | None = None) -> Planted:
    """The planted model that a name or a recipe describes: "bm25", "causal?seed=3".

    Vocabulary and document frequencies come from `documents`, by default from the collection
    that comes with the package.

    Raises:
        ValueError: the name or one of its options is not known, or the parts have no room.
    """
    recipe = recipe_named(recipe) if isinstance(recipe, str) else recipe
    name = str(recipe) + ("" if documents is None else f" over {len(documents)} documents")
    counted = default_frequencies() if documents is None else frequencies_in(documents)
    lexicon = Lexicon.of(counted, recipe.synonyms)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):  # transformers draws weights
        if isinstance(recipe, CausalRecipe):
            model, tokenizer, truth, at = causal.made(name, recipe, lexicon)
        else:
            model, tokenizer, truth, at = bm25.made(name, recipe, lexicon)
    model.requires_grad_(False)
    model.config.name_or_path = name
    return Planted(name, recipe, model, tokenizer, truth, at, lexicon)


def recipe_named(name: str) -> AnyRecipe:
    """The recipe with this name, of the kind that it begins with.

    Raises:
        ValueError: the kind, an option or a value is not known.
    """
    kinds: dict[str, type[AnyRecipe]] = {"bm25": Recipe, "causal": CausalRecipe}
    kind = kind_of(name)
    if kind not in kinds:
        known = " and ".join(f"{PREFIX}{each}" for each in kinds)
        raise ValueError(f"no planted model is called {name!r}; there are {known}")
    return kinds[kind].named(name)
