"""Which baseline is neutral: neither relevant nor other to the model?

The mean of p(relevant) − p(other) over pairs, for the texts themselves and for each baseline, in
which some or all of the words are replaced by padding tokens or by zeros. The baseline nearest to
0 is the one that attribution should start from.
Vast et al. (2024), Table 1.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from crosslens import Collection, NotMeasurable
from crosslens.frames import Frame, pd
from crosslens.neurons import BASELINES, preference
from crosslens.stats import bootstrap_interval

from .neuron_flows import pairs_of
from .option_types import Tokens
from .running import Given, main
from .samples import slices


IS_SPLIT = True


class Options(NamedTuple):
    collection: list[str] = ["embedded"]  # noqa: RUF012
    pairs: int = 64
    tokens: Tokens = 96


ORIGINAL = "none: the texts"
AT_ONCE = 16


@dataclass(frozen=True)
class Answer:
    """One row per collection, pair and input; and the means, the most neutral first."""

    pairs: Frame  # collection, input, pair, preference
    baselines: Frame  # collection, input, preference, low, high, n, distance, is_nearest


def analyse(given: Given) -> Answer:
    """The preference of every baseline over candidates of each collection."""
    drawn = []
    for texts in given.collections:
        every = sorted((qid, docid) for qid, docs in texts.candidates.items() for docid in docs)
        if not every:
            raise NotMeasurable(f"collection {texts.name!r} has no candidates to pair")
        order = np.random.default_rng(given.seed).permutation(len(every))[: given.pairs]
        rows = pd.DataFrame([every[i] for i in order], columns=["qid", "docid"])
        drawn += [(texts, rows.iloc[part], part.start) for part in slices(len(rows), AT_ONCE)]

    def preferred(texts: Collection, rows: Frame, start: int) -> Frame:
        pairs = pairs_of(given.model, texts, rows, given.options.tokens)
        parts = [
            pd.DataFrame(
                {
                    "collection": texts.name,
                    "input": name,
                    "pair": range(start, start + len(pairs)),
                    "preference": preference(given.model, pairs, begin).double().tolist(),
                }
            )
            for name, begin in {ORIGINAL: None, **BASELINES}.items()
        ]
        return pd.concat(parts)

    computes = {str(i): partial(preferred, *each) for i, each in enumerate(drawn)}
    found = given.parts("preference of baselines", "pairs", computes)
    whole = pd.concat(found.values(), ignore_index=True)
    return Answer(whole, means(whole, given.seed))


def means(pairs: Frame, seed: int) -> Frame:
    """The mean preference of each input, and which baseline's is nearest to 0."""
    tables = []
    for collection, some in pairs.groupby("collection", sort=False):
        table = some.pivot(index="input", columns="pair", values="preference")
        values = table.to_numpy(dtype=float)
        low, high = bootstrap_interval(values, seed=seed)
        rows = pd.DataFrame(
            {
                "collection": collection,
                "input": table.index,
                "preference": values.mean(axis=1),
                "low": low,
                "high": high,
                "n": values.shape[1],
                "distance": np.abs(values.mean(axis=1)),
            }
        )
        rows = rows.sort_values("distance", ignore_index=True)
        nearest = rows[rows["input"] != ORIGINAL].index[0]
        tables.append(rows.assign(is_nearest=rows.index == nearest))
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    main(__spec__.name)
