"""Where the parts sit: drawn by seed, so that no method can know the place."""

import random
from dataclasses import dataclass
from functools import partial
from itertools import combinations, product

from .names import Recipe


Place = tuple[int, int]  # layer and index within it


@dataclass(frozen=True)
class Placement:
    """The layer and index of every part of the circuit and of every decoy."""

    length: Place
    matchers: tuple[Place, ...]
    scoring: Place
    contextual: Place | None
    suppressor: Place | None
    backup: Place | None
    switch: Place | None
    decoy_heads: tuple[Place, ...]  # they write nothing
    talkers: tuple[Place, ...]  # decoy heads that write
    decoy_neurons: tuple[Place, ...]

    @property
    def matching(self) -> Place:
        """The matching head, or the first of several."""
        return self.matchers[0]

    @property
    def heads(self) -> frozenset[Place]:
        """Every head that was given something to do, decoys among them."""
        others = filter(None, (self.contextual, self.suppressor, self.backup))
        return frozenset({*self.matchers, self.scoring, *others, *self.decoy_heads, *self.talkers})

    @property
    def neurons(self) -> frozenset[Place]:
        """The same of neurons."""
        return frozenset({self.length, *filter(None, [self.switch]), *self.decoy_neurons})


def place(recipe: Recipe) -> Placement:
    """The length neuron comes before matching, matching before scoring; decoy heads come
    after the length neuron, so that their patterns are those of the matching head.

    What writes a term frequency stands before the head that reads it: the scoring head, or the
    contextual head between them.
    """
    draw = random.Random(recipe.seed)
    beside = recipe.matchers - 1 + recipe.suppressor + recipe.backup  # of the matching head
    n_heads = 2 + recipe.contextual + beside + recipe.decoys + recipe.talkers
    layers = [
        chosen  # of the length neuron, matching, the contextual head if any, and scoring
        for chosen in combinations(range(recipe.layers), 3 + recipe.contextual)
        if (chosen[2] - chosen[0] - 1) * recipe.heads > beside
        and (recipe.layers - chosen[0] - 1) * recipe.heads >= n_heads
    ]
    if not layers:
        raise ValueError(
            f"{recipe} has no room for {n_heads} planted heads and decoys: they stand after the "
            "first layer, and the scoring head after all other planted heads; give it more "
            "layers or heads"
        )
    chosen = draw.choice(layers)
    first, matching, reader, scoring = chosen[0], chosen[1], chosen[2], chosen[-1]
    free_heads = set(product(range(first + 1, recipe.layers), range(recipe.heads)))
    free_neurons = set(product(range(recipe.layers), range(recipe.neurons)))
    take = partial(taken, recipe, draw)
    matching_at = take(free_heads, range(matching, matching + 1), "the matching head")
    scoring_at = take(free_heads, range(scoring, scoring + 1), "the scoring head")
    length_at = take(free_neurons, range(first, first + 1), "the length neuron")
    contextual_at = suppressor_at = backup_at = switch_at = None
    if recipe.contextual:
        contextual_at = take(free_heads, range(reader, reader + 1), "the contextual head")
    before = range(first + 1, reader)
    matchers = [matching_at]
    for _ in range(recipe.matchers - 1):
        matchers.append(take(free_heads, before, "a further matching head"))
    if recipe.suppressor:
        suppressor_at = take(free_heads, before, "the suppressor")
    if recipe.backup:
        backup_at = take(free_heads, before, "the backup head")
        writers = filter(None, [*matchers, suppressor_at, backup_at])
        last = max(layer for layer, _ in writers)
        switch_at = take(free_neurons, range(last, reader), "the backup's switch")
    everywhere = range(recipe.layers)
    return Placement(
        length_at,
        tuple(matchers),
        scoring_at,
        contextual_at,
        suppressor_at,
        backup_at,
        switch_at,
        tuple(take(free_heads, everywhere, "a decoy head") for _ in range(recipe.decoys)),
        tuple(take(free_heads, everywhere, "a decoy head") for _ in range(recipe.talkers)),
        tuple(take(free_neurons, everywhere, "a decoy neuron") for _ in range(recipe.fakes)),
    )


def taken(recipe: object, draw: random.Random, free: set[Place], layers: range, what: str) -> Place:
    """A free place in one of the layers, free no more.

    Raises:
        ValueError: there is none.
    """
    candidates = sorted(each for each in free if each[0] in layers)
    if not candidates:
        raise ValueError(
            f"{recipe} has no room for {what} in layers {layers.start} to {layers.stop - 1}; "
            "give it more heads, neurons or layers"
        )
    chosen = draw.choice(candidates)
    free.remove(chosen)
    return chosen
