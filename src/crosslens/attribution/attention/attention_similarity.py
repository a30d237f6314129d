"""Does a head attend by meaning? Its attention against the similarity of the two tokens."""

from typing import Final

import torch
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from ...batching.in_batches import in_batches
from ...hooks import document_reads, Hooked
from ...pairs import Pairs
from ...sites import Site


EMBED: Final = Site("embed")
LEAST: Final = 0.01  # of the attention of query tokens: with less there is nothing to correlate


@torch.no_grad()
def attention_similarity(
    model: Hooked, pairs: Pairs, *, at: Site = EMBED, centre: bool = False
) -> Float[Tensor, "head pair"]:
    """Pearson's r of pattern[i, j] and the cosine of tokens i and j, head by head.

    Over all tokens i of the query and j of the document of a pair; in a decoder that is given
    the query first over all i of the document and j of the query. The vectors compared are
    what `at` holds: the rows of W_E, or with `Site("resid_pre", 1)` what the first block makes
    of them in their context; less what all tokens of the pair have in common if `centre`. Nan
    where the text that reads gives less than 0.01 of its attention to the other.

    Pairs of like length run together, and fewer where memory runs out.

    Lu et al. (2025), section 4.2.
    """
    return in_batches(
        model, pairs, "head pair", lambda some, _: _in_one_pass(model, some, at, centre)
    )


def _in_one_pass(model: Hooked, pairs: Pairs, at: Site, centre: bool) -> Float[Tensor, "head pair"]:
    """The correlations of pairs that run together."""
    sites = model.sites("pattern")
    found: list[Tensor] = []
    texts = ("document", "query") if document_reads(model, pairs) else ("query", "document")
    dst, src = (pairs.where(text) for text in texts)
    both = dst[:, :, None] & src[:, None, :]
    with model.record(at) as cache:
        model(pairs)
    vector = cache[at].double()
    if centre:
        there = pairs.attended[:, :, None].to(vector)
        vector = vector - (vector * there).sum(dim=1, keepdim=True) / there.sum(dim=1, keepdim=True)
    vector = F.normalize(vector, dim=-1)
    cosine = centred(einsum(vector, vector, "pair i d, pair j d -> pair i j")[:, None], both)

    def correlate(pattern: Tensor) -> None:
        read = (pattern * both[:, None]).sum(dim=(2, 3)) / dst.sum(dim=1, keepdim=True)
        attention = centred(pattern.double(), both)
        together = (attention * cosine).sum(dim=(2, 3))
        size = attention.square().sum(dim=(2, 3)) * cosine.square().sum(dim=(2, 3))
        found.append((together / size.sqrt()).masked_fill(read < LEAST, torch.nan).T)

    # one layer at a time: the patterns of all layers together may not fit into memory
    with model.tapped([(site, correlate) for site in sites]):
        model(pairs)
    return torch.cat(found)


def centred(
    value: Float[Tensor, "pair head i j"], where: Bool[Tensor, "pair i j"]
) -> Float[Tensor, "pair head i j"]:
    """Minus the mean over `where`; 0 elsewhere."""
    kept = where[:, None].to(value)
    mean = (value * kept).sum(dim=(2, 3), keepdim=True) / kept.sum(dim=(2, 3), keepdim=True)
    return (value - mean) * kept
