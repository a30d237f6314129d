"""Where the parts sit: drawn by seed, so that no method can know the place."""

import random
from dataclasses import dataclass
from itertools import combinations

from .names import Recipe


Place = tuple[int, int]  # layer and index within it


@dataclass(frozen=True)
class Placement:
    """The layer and index of every part of the circuit and of every decoy."""

    length: Place
    matching: Place
    scoring: Place
    backup: Place | None
    switch: Place | None
    decoy_heads: tuple[Place, ...]
    decoy_neurons: tuple[Place, ...]


def place(recipe: Recipe) -> Placement:
    """The length neuron comes before matching, matching before scoring; decoy heads come
    after the length neuron, so that their patterns are those of the matching head."""
    draw = random.Random(recipe.seed)
    n_heads = 2 + recipe.backup + recipe.decoys
    layers = [
        (first, matching, scoring)
        for first, matching, scoring in combinations(range(recipe.layers), 3)
        if (scoring - first - 1) * recipe.heads > recipe.backup
        and (recipe.layers - first - 1) * recipe.heads >= n_heads
    ]
    if not layers:
        raise ValueError(
            f"{recipe} has no room for {n_heads} planted heads and decoys: they stand after the "
            "first layer, and the scoring head after all other planted heads; give it more "
            "layers or heads"
        )
    first, matching, scoring = draw.choice(layers)
    free_heads = {
        (layer, i) for layer in range(first + 1, recipe.layers) for i in range(recipe.heads)
    }
    free_neurons = {(layer, i) for layer in range(recipe.layers) for i in range(recipe.neurons)}

    def take(free: set[Place], layers: range, what: str) -> Place:
        candidates = sorted(each for each in free if each[0] in layers)
        if not candidates:
            raise ValueError(
                f"{recipe} has no room for {what} in layers {layers.start} to {layers.stop - 1}; "
                "give it more heads, neurons or layers"
            )
        taken = draw.choice(candidates)
        free.remove(taken)
        return taken

    matching_at = take(free_heads, range(matching, matching + 1), "the matching head")
    scoring_at = take(free_heads, range(scoring, scoring + 1), "the scoring head")
    length_at = take(free_neurons, range(first, first + 1), "the length neuron")
    backup_at = switch_at = None
    if recipe.backup:
        backup_at = take(free_heads, range(first + 1, scoring), "the backup head")
        both = max(matching, backup_at[0])
        switch_at = take(free_neurons, range(both, scoring), "the backup's switch")
    everywhere = range(recipe.layers)
    return Placement(
        length_at,
        matching_at,
        scoring_at,
        backup_at,
        switch_at,
        tuple(take(free_heads, everywhere, "a decoy head") for _ in range(recipe.decoys)),
        tuple(take(free_neurons, everywhere, "a decoy neuron") for _ in range(recipe.fakes)),
    )
