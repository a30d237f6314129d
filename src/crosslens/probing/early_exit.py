"""Early exit: the score, if the model ended after each of its layers.

The scored row is handed to the model's own head after every block, as the logit lens does with an
unembedding (nostalgebraist, 2020). In a post-LN block the row is normalised when the block ends,
and goes to the head as it is; in a pre-LN model it goes through the final norm first. The head was
trained for the last layer alone: what it cannot read of a layer, a probe may.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ..batching.batches import by_like_length
from ..hooks import Hooked
from ..pairs import Pairs


@torch.no_grad()
def early_scores(model: Hooked, pairs: Pairs) -> Float[Tensor, "layer pair"]:
    """The score that the head reads after each layer, in score units; one pass for all layers.

    Row 0 is what it reads of the embeddings, before the first block; the last row is the score.
    """
    outputs = model.block_outputs()
    sites = [model.sites("resid_pre")[0], *outputs]
    found = torch.empty(len(sites), len(pairs))

    def read(rows: list[int], width: int) -> Tensor:
        some = pairs.take(rows, width=width)
        with model.record(*sites) as cache:
            model(some)
        return torch.stack([model.suffix(some, len(outputs), cache[site]) for site in sites])

    for rows, scores in by_like_length(read, pairs):
        found[:, rows] = scores.to(found)
    return found
