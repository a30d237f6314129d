"""Direct score attribution: what a head adds to the score by what it takes from each token.

    effect(h, j)  =  sum over i of  pattern_h[i, j] v_h[j] . dF/dz_h[i]

A head is linear in what it takes from each token once its pattern is given, and the score is
made linear at the run: the slope is that along the stream alone, by LayerNorms, MLPs and the
relevance head, as if all other heads said what they said. Summed over all tokens j it is the
head's z times that slope.
"""

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from ...batching.in_batches import in_batches
from ...engine.gradients import slopes
from ...hooks import Hooked, served, Tap
from ...pairs import Pairs
from ...sites import Site


def direct_attribution(model: Hooked, pairs: Pairs) -> Float[Tensor, "head pair src"]:
    """What every head adds to the score directly, by what it takes from each token.

    Heads in the order of `model.heads()`, in score units. Pairs of like length run together, and
    fewer where memory runs out. Elhage et al. (2021); Lu et al. (2025).
    """
    return in_batches(model, pairs, "head pair src", lambda some, _: _in_one_pass(model, some))


def _in_one_pass(model: Hooked, pairs: Pairs) -> Float[Tensor, "head pair src"]:
    """The attribution of pairs that run together."""
    written, patterns, values = (model.sites(name) for name in ("z", "pattern", "v"))
    # what a head writes is a beginning: no slope leads through it to what it read
    cut: list[tuple[Site, Tap]] = [
        (site, lambda z: z.detach().requires_grad_()) for site in written
    ]
    run = slopes(model, pairs, written, taps=cut, also=[*patterns, *values])
    found = [
        einsum(
            run.value[pattern].detach(),
            served(run.value[v].detach(), run.value[z].shape[2]),
            run.slope[z],
            "pair head i j, pair j head d, pair i head d -> head pair j",
        )
        for z, pattern, v in zip(written, patterns, values, strict=True)
    ]
    return torch.cat(found)
