"""Scores of pairs, and what a contrast changes of them."""

import json
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from crosslens import Contrast, CrossEncoder, Pairs
from crosslens.words import scores_of


EDITS: Final = ("base_edits", "more_edits")  # where the edited words stand in each text


def score(model: CrossEncoder, pairs: Pairs) -> Float[np.ndarray, " pair"]:
    """The scores of `pairs` in their own order, as an array."""
    return scores_of(model, pairs).double().numpy(force=True)


def changes(model: CrossEncoder, contrast: Contrast) -> pd.DataFrame:
    """One row per pair of a contrast: both texts, both scores, and the change between them.

    Columns: pair, qid, docid, query, term, base_text and more_text with the places of their
    edits, tokens, and base, target and change in score units.
    """
    texts = pd.DataFrame(
        [
            (m.qid, m.docid, m.query, m.term, m.base, m.more, *map(json.dumps, m.edits or ((), ())))
            for m in contrast.minimal
        ],
        columns=["qid", "docid", "query", "term", "base_text", "more_text", *EDITS],
    )
    base, target = score(model, contrast.base), score(model, contrast.more)
    return texts.assign(
        pair=np.arange(len(contrast)),
        tokens=contrast.base.lengths.cpu().numpy(),
        base=base,
        target=target,
        change=target - base,
    )
