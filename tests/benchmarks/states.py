"""States of all layers, against the bare pass; masks of the first layers, against one pass each."""

from collections.abc import Sequence

import torch
from crosslens.analyses.interaction_masks import interaction_mask, masked_prefixes, MASKS

from crosslens import Pairs
from crosslens.probing import features, token_groups

from .subject import Subject
from .sweeps import title_of
from .timing import interleaved, Table


def states(subject: Subject, rounds: int, share: float) -> Table:
    """Features of seven groups of tokens after every layer, in half precision."""
    pairs, stopwords = subject.base, subject.base.token[0, -8:]
    groups = token_groups(pairs, stopwords, generator=torch.Generator().manual_seed(0))

    def bare() -> float:
        with torch.no_grad():
            for rows in torch.arange(len(pairs)).split(subject.rows):
                subject.model(pairs.take(rows.tolist()))
        return 1

    def recorded() -> float:
        features(subject.model, pairs, groups, dtype=torch.float16)
        return 1

    arms = {"bare passes": bare, "features": recorded}
    return Table(
        title_of(subject, "states of all layers"),
        "pass over the pairs",
        interleaved(arms, rounds=rounds),
        {"tokens of all groups": float(sum(mask.sum() for mask in groups.values()))},
    )


def masks(subject: Subject, rounds: int, share: float) -> Table:
    """Query and document hidden from each other over the first i layers, for every i.

    Against one masked pass per cell, of one pair as for knock-outs, and of all pairs as a batch.
    """
    model, layers = subject.model, subject.shape.layers
    pairs = subject.base.take(range(min(len(subject.base), subject.rows)))
    hooks = {name: [interaction_mask(i, name) for i in range(layers)] for name in MASKS}

    def prefixes() -> float:
        for each in hooks.values():
            masked_prefixes(model, pairs, [hook for layer in each for hook in layer])
        return layers * len(hooks) * len(pairs)

    def one_by_one(batches: Sequence[Pairs]) -> float:
        for each in hooks.values():
            for n in range(1, layers + 1):
                active = [hook for layer in each[:n] for hook in layer]
                for batch in batches:
                    with torch.no_grad(), model.hooked(*active):
                        model(batch)
        return layers * len(hooks) * sum(map(len, batches))

    alone = [pairs.take([i]) for i in range(min(4, len(pairs)))]
    arms = {
        "from the masked states": prefixes,
        "one masked pass per cell and pair": lambda: one_by_one(alone),
        "one masked pass per cell, pairs batched": lambda: one_by_one([pairs]),
    }
    return Table(
        title_of(subject, "interaction masks"),
        "cell and pair",
        interleaved(arms, rounds=rounds),
        {"cells": layers * len(hooks)},
    )
