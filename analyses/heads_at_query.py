"""The heads through whose output at the query's tokens an exact match reaches the score.

A head that reads the document at a query token writes there; heads that score write at [CLS]. In
a decoder that is given the query first the document's tokens read the query's, and heads that
match write there.
"""

from typing import Final

import numpy as np

from crosslens import Contrast, CrossEncoder, patching
from crosslens.frames import Frame


LEAST: Final = 0.01  # of the contrast, restored
DISCOVERY_RATE: Final = 0.05  # false ones among the heads that are named


def restored_at_query(model: CrossEncoder, contrast: Contrast, *, seed: int = 0) -> Frame:
    """What patching each head's output at the query tokens restores: a row per head, in order.

    At the document tokens, where they are those that read.
    """
    query, document = (contrast.base.where(text) for text in ("query", "document"))
    is_first = bool((query.long().argmax(dim=1) < document.long().argmax(dim=1)).all())
    text = "document" if model.is_causal and is_first else "query"
    units = [head.site.at(pos=text, **dict(head.coordinates)) for head in model.heads()]
    return patching(model, contrast, units).summary(seed=seed)


def strongest(restored: Frame, most: int) -> list[int]:
    """The rows of the heads that carry the match, the strongest first, at most so many."""
    mean, q = restored["mean"].to_numpy(), restored["q"].to_numpy()
    return [i for i in np.argsort(-mean).tolist() if mean[i] > LEAST and q[i] < DISCOVERY_RATE][
        :most
    ]
