"""One neuron in a hundred silenced alone, exactly, against one forward pass for each."""

import numpy as np
import torch

from crosslens import Hook
from crosslens.neurons import Neurons

from .subject import Subject
from .sweeps import one_by_one, swept, title_of
from .timing import interleaved, Table


SHARE = 0.01


def neurons(subject: Subject, rounds: int, share: float) -> Table:
    """A random hundredth of the outputs of all linear maps, each 0 at every token."""
    every = Neurons.of(subject.model, subject.base)
    n = max(2, round(SHARE * len(every)))
    chosen = np.sort(np.random.default_rng(0).choice(len(every), n, replace=False))
    hooks = [Hook(unit, torch.zeros_like) for unit in every.units(chosen.tolist())]
    arms = {"engine": swept(subject, hooks), **one_by_one(subject, lambda rows: hooks, share)}
    measured = interleaved(arms, rounds=rounds)
    engine, alone = (measured[name] for name in ("engine", "one forward per cell and pair"))
    return Table(
        title_of(subject, f"{n} of {len(every)} neurons silenced one at a time"),
        "cell and pair",
        measured,
        {"cells": n, "one forward / engine": alone.seconds / engine.seconds},
    )
