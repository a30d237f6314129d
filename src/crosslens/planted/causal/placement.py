"""Where the parts of the causal circuit sit: drawn by seed."""

import random
from dataclasses import dataclass
from functools import partial
from itertools import combinations, product

from ..placement import Place, taken
from .recipe import CausalRecipe


@dataclass(frozen=True)
class CausalPlacement:
    """The layer and index of every part of the circuit and of every decoy."""

    segment: Place
    repetition: Place
    matchers: tuple[Place, Place]  # what is left before an occurrence, and after it
    scoring: Place
    repetition_neuron: Place
    rarity: Place
    decoy_heads: tuple[Place, ...]  # they write nothing
    talkers: tuple[Place, ...]  # decoy heads that write
    decoy_neurons: tuple[Place, ...]

    @property
    def matching(self) -> Place:
        """The first of the two matching heads."""
        return self.matchers[0]

    @property
    def heads(self) -> frozenset[Place]:
        """Every head that was given something to do, decoys among them."""
        planted = (self.segment, self.repetition, *self.matchers, self.scoring)
        return frozenset({*planted, *self.decoy_heads, *self.talkers})

    @property
    def neurons(self) -> frozenset[Place]:
        """The same of neurons."""
        return frozenset({self.repetition_neuron, self.rarity, *self.decoy_neurons})


def place(recipe: CausalRecipe) -> CausalPlacement:
    """The segment and repetition heads and both neurons come before matching, matching before
    scoring; a neuron comes after what it reads.

    Decoy heads come after the neurons, so that their patterns are those of a matching head.

    Raises:
        ValueError: there is no room for all parts.
    """
    draw = random.Random(recipe.seed)
    n_heads = 3 + recipe.decoys + recipe.talkers
    layers = [
        chosen
        for chosen in combinations(range(recipe.layers), 3)
        if chosen[1] * recipe.heads >= 2
        and (chosen[2] - chosen[1]) * recipe.heads >= 2
        and (recipe.layers - chosen[1]) * recipe.heads >= n_heads
    ]
    if not layers:
        raise ValueError(
            f"{recipe} has no room for {2 + n_heads} planted heads and decoys: two stand before "
            "the matching heads, the scoring head after them, decoys beside or after them; give "
            "it more layers or heads"
        )
    segment, matching, scoring = draw.choice(layers)
    free_heads = set(product(range(recipe.layers), range(recipe.heads)))
    free_neurons = set(product(range(recipe.layers), range(recipe.neurons)))
    head = partial(taken, recipe, draw, free_heads)
    neuron = partial(taken, recipe, draw, free_neurons)
    segment_at = head(range(segment, segment + 1), "the segment head")
    repetition_at = head(range(matching), "the repetition head")
    scoring_at = head(range(scoring, scoring + 1), "the scoring head")
    first_at = head(range(matching, matching + 1), "a matching head")
    late = range(matching, recipe.layers)
    return CausalPlacement(
        segment_at,
        repetition_at,
        (first_at, head(range(matching, scoring), "a matching head")),
        scoring_at,
        neuron(range(max(segment, repetition_at[0]), matching), "the repetition neuron"),
        neuron(range(segment, matching), "the rarity neuron"),
        tuple(head(late, "a decoy head") for _ in range(recipe.decoys)),
        tuple(head(late, "a decoy head") for _ in range(recipe.talkers)),
        tuple(neuron(range(recipe.layers), "a decoy neuron") for _ in range(recipe.fakes)),
    )
