"""Degradation: how fast a prediction falls as the tokens of the largest attribution are deleted.

Jiang et al. (2021), section 4.1: of a pair of L tokens, the round(k L) with the largest numbers
are deleted, k from 1/9 to 1; what stands behind moves up. Special tokens stay. The better an
attribution, the faster p(relevant) falls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ...batching.batches import scores_of
from ...by_pair import by_pair
from ...hooks import Hooked
from ...not_measurable import NotMeasurable
from ...pairs import Pairs
from ...stats import bootstrap_interval
from .removal import without
from .word_attribution import WordAttribution


LEAST = 0.05  # of a smaller fall the normalised curve is noise
SHARES = tuple((i + 1) / 9 for i in range(9))  # linspace(0, 1, 10) without 0


@dataclass(frozen=True, eq=False)
class Degradation:
    """p(relevant) of every pair, by method and share of tokens deleted."""

    shares: tuple[float, ...]
    original: Float[np.ndarray, " pair"]
    kept: Mapping[str, Float[np.ndarray, "share pair"]]  # p(relevant) of what is left

    def normalised(self) -> dict[str, Float[np.ndarray, " share"]]:
        """(mean p - m) / (o - m): o the mean of the originals, m the least mean at the last share.

        Raises:
            NotMeasurable: deleting everything hardly lowers p(relevant) by no method.
        """
        least = min(float(values[-1].mean()) for values in self.kept.values())
        whole = float(self.original.mean())
        if not whole - least > LEAST:
            raise NotMeasurable(
                f"p(relevant) is {whole:.3f} on average and {least:.3f} without its words: there "
                "is no fall to normalise by; take pairs that the model finds relevant"
            )
        return {
            name: (values.mean(axis=1) - least) / (whole - least)
            for name, values in self.kept.items()
        }

    def curves(self, *, seed: int = 0) -> pd.DataFrame:
        """One row per method and share, the whole pair (share 0) among them.

        Columns: method, share, p (the mean over pairs) with its 95 % bootstrap interval `low` to
        `high`, and drop (how much the mean fell) with `drop_low` and `drop_high`.
        """
        tables = []
        for name, values in self.kept.items():
            p = np.vstack([self.original, values])
            low, high = bootstrap_interval(p, seed=seed)
            drop_low, drop_high = bootstrap_interval(self.original - p, seed=seed)
            tables.append(
                pd.DataFrame(
                    {
                        "method": name,
                        "share": [0.0, *self.shares],
                        "p": p.mean(axis=1),
                        "low": low,
                        "high": high,
                        "drop": (self.original - p).mean(axis=1),
                        "drop_low": drop_low,
                        "drop_high": drop_high,
                    }
                )
            )
        return pd.concat(tables, ignore_index=True)

    def frame(self) -> pd.DataFrame:
        """One row per method, share and pair: method, share, pair, original, p."""
        tables = [
            by_pair(
                {"method": [name] * len(self.shares), "share": self.shares},
                original=torch.tensor(self.original),
                p=torch.tensor(values),
            )
            for name, values in self.kept.items()
        ]
        return pd.concat(tables, ignore_index=True)

    @classmethod
    def of(cls, frame: pd.DataFrame) -> "Degradation":
        """The value whose `frame` this is; pairs keep the order of their numbers."""
        by_pair = frame.pivot(index=["method", "share"], columns="pair", values="p")
        methods = list(dict.fromkeys(frame["method"]))
        shares = tuple(sorted(set(frame["share"])))
        original = frame.drop_duplicates("pair").set_index("pair")["original"].sort_index()
        return cls(
            shares,
            original.to_numpy(),
            {name: by_pair.loc[name].loc[list(shares)].to_numpy() for name in methods},
        )


def degradation(
    model: Hooked,
    attributions: Sequence[WordAttribution],
    *,
    shares: Sequence[float] = SHARES,
) -> Degradation:
    """p(relevant) of the pairs of `attributions` as each deletes its largest tokens.

    p is the sigmoid of the score: of one logit, or of the log-odds of two.

    Raises:
        ValueError: no attribution, attributions of different pairs, or a share outside [0, 1].
    """
    if not attributions:
        raise ValueError("no attribution to compare: give at least one")
    pairs = attributions[0].pairs
    if any(each.pairs is not pairs for each in attributions):
        raise ValueError("attributions of different pairs: compute all of them for the same Pairs")
    if not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"shares are {list(shares)}: each lies between 0 and 1")
    original = _probability(scores_of(model, pairs))
    kept = {
        each.method: np.stack(
            [_probability(scores_of(model, shortened(each, share))) for share in shares]
        )
        for each in attributions
    }
    return Degradation(tuple(shares), original, kept)


def shortened(attribution: WordAttribution, share: float) -> Pairs:
    """The pairs without the `share` of their tokens (special ones counted) of largest value."""
    pairs = attribution.pairs
    removed = torch.zeros_like(pairs.token, dtype=torch.bool)
    for i, length in enumerate(pairs.lengths.tolist()):
        removed[i, attribution.order(i)[: round(share * length)]] = True
    return without(pairs, removed)


def _probability(scores: Tensor) -> Float[np.ndarray, " pair"]:
    return torch.sigmoid(scores.double()).numpy(force=True)
