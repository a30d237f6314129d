"""Random numbers: the control beside every attribution."""

import torch

from ...hooks import Hooked
from ...pairs import Pairs
from .word_attribution import WordAttribution


def random_attribution(model: Hooked, pairs: Pairs, *, seed: int = 0) -> WordAttribution:
    """A number in [0, 1) for every token; each pair draws from `seed` and its own place."""
    token = torch.zeros(pairs.token.shape)
    for i, length in enumerate(pairs.lengths.tolist()):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + i)
        token[i, :length] = torch.rand(length, generator=generator)
    return WordAttribution("random", pairs, token.to(pairs.device))
