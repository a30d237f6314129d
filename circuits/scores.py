"""Scores of pairs, and what a contrast changes of them."""

import json
from typing import Final

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from crosslens import Contrast, CrossEncoder, Pairs


EDITS: Final = ("base_edits", "more_edits")  # where the edited words stand in each text


@torch.no_grad()
def score(model: CrossEncoder, pairs: Pairs, *, batch: int = 32) -> Float[np.ndarray, " pair"]:
    """The scores of `pairs`, those of like length in one batch, in the pairs' own order."""
    found = np.empty(len(pairs))
    for rows in pairs.lengths.argsort().split(batch):
        found[rows.cpu().numpy()] = model(pairs.take(rows.tolist())).double().cpu().numpy()
    return found


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
