"""Whether a model reacts to a signal at all, more than it does to a word that means nothing.

Patching explains a change of score. Where the change is no larger than what any word makes,
there is nothing to explain, and every share of it would be a share of noise: a model of random
weights also has a unit that "restores" all of it.
"""

import json
from typing import Final

import numpy as np
import torch

from ..contrasts.contrast import Contrast
from ..model.encoder import CrossEncoder
from ..stats import benjamini_hochberg, bootstrap_interval, paired_test
from .frames import Frame, pd
from .question import CONTROL


LEVEL: Final = 0.05  # of the false discovery rate
FEWEST: Final = 5  # queries; with fewer a model is not said to react
EDITS: Final = ("base_edits", "more_edits")  # where the edited words stand in each text


@torch.no_grad()
def changes(model: CrossEncoder, contrast: Contrast, *, batch: int = 32) -> Frame:
    """One row per pair: both texts, both scores, and the change from one to the other."""

    def scores(pairs) -> np.ndarray:
        found = np.empty(len(pairs))
        for rows in pairs.lengths.argsort().split(batch):
            found[rows.cpu().numpy()] = model(pairs.take(rows.tolist())).cpu().double().numpy()
        return found

    texts = pd.DataFrame(
        [
            (m.qid, m.docid, m.query, m.term, m.base, m.more, *map(json.dumps, m.edits or ((), ())))
            for m in contrast.minimal
        ],
        columns=["qid", "docid", "query", "term", "base_text", "more_text", *EDITS],
    )
    base, target = scores(contrast.base), scores(contrast.more)
    return texts.assign(
        pair=np.arange(len(contrast)),
        tokens=contrast.base.lengths.cpu().numpy(),
        base=base,
        target=target,
        change=target - base,
    )


def reactions(pairs: Frame, *, least: float = 0.0, seed: int = 0) -> Frame:
    """For each signal: the mean change of score, beside that of the control on the same queries.

    A model reacts to a signal if the change is at least `least`, differs from the control's in
    its own direction, after correction for the number of signals, and its interval leaves out
    0. Pairs of one query are not independent: their mean is one observation.
    """
    by_query = pairs.groupby(["signal", "qid"])["change"].mean()
    known = pairs["signal"].unique()
    control = by_query[CONTROL] if CONTROL in known else pd.Series(dtype=float)
    rows = []
    for signal in known:
        own = by_query[signal]
        low, high = bootstrap_interval(own.to_numpy(), seed=seed)
        shared = own.index.intersection(control.index)
        row = {
            "signal": signal,
            "queries": len(own),
            "pairs": int((pairs["signal"] == signal).sum()),
            "change": own.mean(),
            "low": float(low),
            "high": float(high),
            "control": control[shared].mean() if len(shared) else np.nan,
            "p": np.nan,
        }
        if signal != CONTROL and len(shared) >= FEWEST:
            row["p"] = paired_test(own[shared].to_numpy(), control[shared].to_numpy()).p_value
        rows.append(row)
    table = pd.DataFrame(rows)
    table["q"] = benjamini_hochberg(table["p"].to_numpy(dtype=float))
    beyond = np.sign(table["change"]) * (table["change"] - table["control"])
    is_sure = (table["q"] < LEVEL) & (table["low"] * table["high"] > 0) & (beyond > 0)
    table["reacts"] = is_sure & (table["change"].abs() >= least)
    table["is_small"] = is_sure & ~table["reacts"]
    return table
