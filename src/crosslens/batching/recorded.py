"""What sites hold for all pairs, recorded some pairs at a time."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..hooks import Cache, Hooked
from ..pairs import Pairs
from ..sites import Site
from .batch_size import BatchSize
from .batches import liked


@torch.no_grad()
def recorded(
    model: Hooked,
    pairs: Pairs,
    sites: Sequence[str | Site],
    *,
    at_once: int | None = None,
    words: Float[Tensor, "pair pos d_embed"] | None = None,
) -> tuple[Cache, Float[Tensor, " pair"]]:
    """What `sites` hold for all pairs, each in its own scale, and the scores.

    `at_once` pairs run together, by default as many as the device likes (all, while a caller's
    hooks are attached, which may hold a value for each pair), and fewer where memory runs out.
    `words` takes the place of the word embeddings.

    Raises:
        DoesNotFit: there is no memory for one pair.
    """
    width = pairs.token.shape[1]
    if at_once is None:
        at_once = len(pairs) if model.is_hooked else liked(width, pairs.device.type)

    def run(rows: Sequence[int]) -> tuple[Cache, Tensor]:
        some = list(rows)
        given = [] if words is None else [(Site("embed"), lambda _, new=words[some]: new)]
        with model.tapped(given), model.record(*sites) as cache:
            scores = model(pairs.take(some, width=width))
        return cache, scores

    whole: dict[Site, Tensor] = {}
    scores = []
    size = BatchSize(max(1, at_once), tokens=width)
    for rows, (cache, found) in size.batches(run, range(len(pairs))):
        scores.append(found)
        if len(rows) == len(pairs):
            return cache, found
        for site, value in cache.items():
            if site not in whole:
                whole[site] = value.new_empty(len(pairs), *value.shape[1:])
            whole[site][rows[0] : rows[-1] + 1] = value
    return Cache(whole), torch.cat(scores)
