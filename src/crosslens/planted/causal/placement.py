"""Where the parts of the causal circuit sit: drawn by seed, so that no method can know the place."""

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
    counting: Place
    matching: Place
    scoring: Place
    repetition: Place
    rarity: Place
    product: Place
    decoy_heads: tuple[Place, ...]  # they write nothing
    talkers: tuple[Place, ...]  # decoy heads that write
    decoy_neurons: tuple[Place, ...]

    @property
    def heads(self) -> frozenset[Place]:
        """Every head that was given something to do, decoys among them."""
        planted = (self.segment, self.counting, self.matching, self.scoring)
        return frozenset({*planted, *self.decoy_heads, *self.talkers})

    @property
    def neurons(self) -> frozenset[Place]:
        """The same of neurons."""
        return frozenset({self.repetition, self.rarity, self.product, *self.decoy_neurons})


def place(recipe: CausalRecipe) -> CausalPlacement:
    """Heads stand in four layers: segment, counting, matching, scoring; a neuron stands behind what
    it reads and before what reads it.

    Decoy heads stand behind the neurons that the matching head reads, so that their patterns are
    its own.

    Raises:
        ValueError: there is no room for all parts.
    """
    draw = random.Random(recipe.seed)
    n_heads = 2 + recipe.decoys + recipe.talkers
    layers = [
        chosen
        for chosen in combinations(range(recipe.layers), 4)
        if (recipe.layers - chosen[2]) * recipe.heads >= n_heads
    ]
    if not layers:
        raise ValueError(
            f"{recipe} has no room for {n_heads} planted heads and decoys from the layer of the "
            "matching head on, the third or a later one; give it more layers or heads"
        )
    segment, counting, matching, scoring = draw.choice(layers)
    free_heads = set(product(range(recipe.layers), range(recipe.heads)))
    free_neurons = set(product(range(recipe.layers), range(recipe.neurons)))
    head = partial(taken, recipe, draw, free_heads)
    neuron = partial(taken, recipe, draw, free_neurons)
    late = range(matching, recipe.layers)
    return CausalPlacement(
        head(range(segment, segment + 1), "the segment head"),
        head(range(counting, counting + 1), "the counting head"),
        head(range(matching, matching + 1), "the matching head"),
        head(range(scoring, scoring + 1), "the scoring head"),
        neuron(range(counting, matching), "the repetition neuron"),
        neuron(range(segment, matching), "the rarity neuron"),
        neuron(range(matching, scoring), "the product neuron"),
        tuple(head(late, "a decoy head") for _ in range(recipe.decoys)),
        tuple(head(late, "a decoy head") for _ in range(recipe.talkers)),
        tuple(neuron(range(recipe.layers), "a decoy neuron") for _ in range(recipe.fakes)),
    )
