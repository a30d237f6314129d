"""Matching heads: soft term frequency.

Claim.   Some heads read, at each query token, the document tokens that match it, so what
         they carry grows with the number of matches: a soft term frequency.
Test.    `matching` is high for such a head and about zero for any other. Attention alone is
         no proof: a head may look at matches and write nothing. `crosslens.patching` of a TFC1
         contrast says whether the score needs it.
Source.  Lu, Chen & Eickhoff (2025), https://arxiv.org/abs/2502.04645
"""

import torch
from jaxtyping import Float
from torch import Tensor

from crosslens import heads, Hooked, Pairs


# The 13 heads of the authors' code, later version, for this checkpoint.
KNOWN = {
    "cross-encoder/ms-marco-MiniLM-L-12-v2": heads(
        "7.9 8.1 4.9 2.1 8.8 6.5 1.7 5.7 5.9 3.1 8.0 6.3 0.8"
    ),
}


@torch.no_grad()
def matching(model: Hooked, pairs: Pairs) -> Float[Tensor, "layer head"]:
    """Attention from query tokens to their copies in the document, above chance.

    The mean over all query tokens that have a copy; chance is attention spread evenly over
    the pair.

    Raises:
        ValueError: no query token of any pair occurs in its document.
    """
    query, document = pairs.where("query"), pairs.where("document")
    same = pairs.token[:, :, None] == pairs.token[:, None, :]
    copies = same & query[:, :, None] & document[:, None, :]
    matched = copies.any(dim=-1)
    if not matched.any():
        raise ValueError("no query token occurs in its document: there is nothing to match")

    with model.record("pattern") as cache:
        model(pairs)
    attention = (cache.layers("pattern") * copies[:, None]).sum(dim=-1)
    chance = copies.sum(dim=-1) / pairs.lengths[:, None]
    above = (attention - chance[:, None]) * matched[:, None]
    return above.sum(dim=(1, 3)) / matched.sum()
