"""LIME: a linear model of the score over which words are left, fitted to random removals.

Ribeiro et al. (2016), https://arxiv.org/abs/1602.04938, as captum implements it: words are
deleted at random, and samples weigh less the more of the pair is gone.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ...batching.batches import scores_of
from ...hooks import Hooked
from ...pairs import Pairs, Segment
from .removal import without
from .word_attribution import to_tokens, WordAttribution, words_of


def lime(model: Hooked, pairs: Pairs, *, samples: int = 75, seed: int = 0) -> WordAttribution:
    """The coefficient of each word of query and document, in score units.

    `samples` pairs with random words deleted are scored for each pair (75 as in the code that
    jiang2021 used). All tokens of a word hold its coefficient; special tokens hold 0. Captum fits a
    lasso of penalty 0.01, which draws coefficients towards 0: where scores hardly move, all are 0.

    Raises:
        ImportError: captum is not installed (`pip install "crosslens[captum]"`).
    """
    try:
        from captum.attr import Lime
    except ImportError as error:
        raise ImportError('LIME needs captum: pip install "crosslens[captum]"') from error

    values: list[dict[tuple[int, ...], float]] = []
    for i in range(len(pairs)):
        words = [
            tokens
            for segment, _, tokens in words_of(pairs, i)
            if segment in (Segment.QUERY, Segment.DOCUMENT)
        ]

        def scored(present: Float[Tensor, "row word"], i: int = i, words=words) -> Tensor:
            some = pairs.take([i] * len(present))
            gone = torch.zeros_like(some.token, dtype=torch.bool)
            for row, place in (present == 0).nonzero().tolist():
                gone[row, words[place]] = True
            return scores_of(model, without(some, gone))

        # captum draws from the processor's global generator; a GPU's is nobody's to seed
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            (found,) = Lime(scored).attribute(
                torch.ones(1, len(words)), n_samples=samples, perturbations_per_eval=samples
            )
        own = zip(map(tuple, words), found.tolist(), strict=True)
        values.append(dict(own))
    return WordAttribution("LIME", pairs, to_tokens(pairs, values), is_additive=False)
