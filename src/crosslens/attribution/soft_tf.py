"""Soft term frequency: how much each query token reads of the document, head by head.

    MS_h(i, d) = sum over the document's tokens j of  pattern_h[i, j]

Not only copies of the query token count: a head that reads what is close in meaning counts
soft matches (Lu et al., 2025, section 4.2).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ..hooks import Hooked
from ..pairs import Pairs
from ..sites import Names


@torch.no_grad()
def soft_tf(
    model: Hooked, pairs: Pairs, *, src: Names = "document"
) -> Float[Tensor, "layer head pair pos"]:
    """MS_h of every head at every query token; 0 at all other tokens.

    `src` is what is read: ("document", "sep2") also counts the last [SEP], as the authors'
    code does.
    """
    read = pairs.where(*([src] if isinstance(src, str) else src))
    query = pairs.where("query")
    total: list[Tensor] = []

    def count(pattern: Tensor) -> None:
        total.append((pattern * read[:, None, None, :]).sum(dim=-1) * query[:, None, :])

    # summed as it passes: the patterns of all layers together may not fit into memory
    with model.tapped([(site, count) for site in model.sites("pattern")]):
        model(pairs)
    return torch.stack(total).transpose(1, 2)
