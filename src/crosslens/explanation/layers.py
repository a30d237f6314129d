"""In which layer the score of a pair is decided: until when query and passage must read each other.

Row l is the score when the two hide from each other in layer l and all later ones; special tokens
still read both. Row 0 is the score of two texts that never meet, the last row the score itself;
the layer after which the score rises or falls most is the one that decides.
"""

import torch

from ..engine.sweep import sweep
from ..frames import Frame, pd
from ..hooks import Hook
from ..interventions.mask import token_mask
from ..model.encoder import CrossEncoder
from ..pairs import Pairs


@torch.no_grad()
def score_by_layer(model: CrossEncoder, pairs: Pairs) -> Frame:
    """One row per layer: the score of one pair `without` it and all later ones, and its `step`.

    `step` is what reading each other in this layer adds, in score units, given the layers below.
    """
    n = model.cfg.n_layers
    cells = [[hook for later in range(layer, n) for hook in _apart(later)] for layer in range(n)]
    scores = [*sweep(model, pairs, cells)[:, 0].tolist(), model(pairs).item()]
    return pd.DataFrame(
        {
            "layer": range(n),
            "without": scores[:-1],
            "step": [after - before for before, after in zip(scores, scores[1:], strict=False)],
        }
    )


def _apart(layer: int) -> list[Hook]:
    """Query and document hide from each other, both ways."""
    return [
        token_mask(layer, dst="query", src="document"),
        token_mask(layer, dst="document", src="query"),
    ]
