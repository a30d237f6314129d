"""Silencing neurons: a set of them at once, or each of many alone, exactly.

A silenced neuron is 0 at every token: the output of its linear map, its bias included, as in
Vast et al. (2024), section 3.3.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..batching.batches import scores_of
from ..engine.sweep import Progress, sweep_in_batches
from ..hooks import Hook, Hooked
from ..pairs import Pairs
from ..sites import Unit
from .schemes import Scheme


def silence(scheme: Scheme) -> list[Hook]:
    """Hooks that set the neurons of `scheme` to 0 at every token, one for each site."""
    hooks = []
    for site, mask in scheme.neurons.split(scheme.chosen).items():
        if mask.any():
            kept = torch.as_tensor(~mask)
            hooks.append(Hook(site.at(), lambda x, kept=kept: x * kept.to(x)))
    return hooks


def single_ablation(
    model: Hooked,
    pairs: Pairs,
    neurons: Sequence[Unit],
    *,
    memory_budget: int | None = None,
    progress: Progress | None = None,
) -> Float[Tensor, "neuron pair"]:
    """The fall of each score when each neuron alone is 0 at every token: exact, by a sweep.

    Pairs of like length run together, and fewer where memory runs out.
    """
    cells = [Hook(unit, torch.zeros_like) for unit in neurons]
    scores = sweep_in_batches(model, pairs, cells, memory_budget=memory_budget, progress=progress)
    return scores_of(model, pairs) - scores
