"""Whether a model reacts to a signal at all, more than it does to a word that means nothing.

Patching explains a change of score. Where the change is no larger than what any word makes,
there is nothing to explain, and every share of it would be a share of noise: a model of random
weights also has a unit that "restores" all of it.

This is the one definition: the report's words, its table and the tests of all claims use it. It
depends on a signal and the control alone, never on which other signals were measured.
"""

from typing import Final

import numpy as np

from crosslens.frames import Frame, pd
from crosslens.stats import bootstrap_interval, paired_test

from .thresholds import QUERIES, REACTION_LEVEL, ROUNDING, SPREAD


CONTROL: Final = "control"
RULE: Final = (
    "A model reacts to a signal if its change of score differs from the change that a random word "
    f"makes for the same queries (paired test over {QUERIES} queries or more, p below "
    f"{REACTION_LEVEL:.2f}), goes further in the same direction, its 95 % interval leaves out 0, "
    f"and it is at least {SPREAD:.2f} standard deviations of the scores of the documents without "
    "the signal."
)


def reactions(pairs: Frame, *, seed: int = 0) -> Frame:
    """One row per signal: its mean change of score beside the control's, and whether it reacts.

    `pairs` has a row per pair with signal, qid, base and change. Pairs of one query are not
    independent: their mean is one observation. Columns: signal, queries, pairs, change with low
    and high, control (the mean change on the same queries), shared (those queries), p, least (the
    smallest change that counts), reacts, is_small (surely there, and too small) and untested, the
    reason why there is no test.
    """
    rows = []
    for signal in pairs["signal"].unique():
        own = pairs[pairs["signal"] == signal]
        other = pairs[(pairs["signal"] == CONTROL) & (signal != CONTROL)]
        rows.append({"signal": signal} | reaction(own, other, seed=seed))
    return pd.DataFrame(rows)


def reaction(own: Frame, control: Frame, *, seed: int = 0) -> dict[str, object]:
    """The row of one signal, from its own pairs and those of the control."""
    mine, random = (each.groupby("qid")["change"].mean() for each in (own, control))
    shared = mine.index.intersection(random.index)
    low, high = map(float, bootstrap_interval(mine.to_numpy(dtype=float), seed=seed))
    change = float(mine.mean())
    beside = float(random[shared].mean()) if len(shared) else float("nan")
    spread = float(own["base"].std(ddof=0))
    row = {
        "queries": len(mine),
        "pairs": len(own),
        "change": change,
        "low": low,
        "high": high,
        "control": beside,
        "shared": len(shared),
        "p": float("nan"),
        "least": max(ROUNDING, SPREAD * spread),
    }
    if len(shared) < QUERIES:
        why = f"{len(shared)} queries have both the signal and the control; {QUERIES} are needed"
        return row | {"reacts": False, "is_small": False, "untested": why}
    p = paired_test(mine[shared].to_numpy(dtype=float), random[shared].to_numpy(dtype=float))
    is_beyond = np.sign(change) * (change - beside) > 0
    is_sure = bool(p.p_value < REACTION_LEVEL and low * high > 0 and is_beyond)
    is_large = abs(change) >= row["least"]
    return row | {
        "p": p.p_value,
        "reacts": is_sure and is_large,
        "is_small": is_sure and not is_large,
        "untested": "",
    }
