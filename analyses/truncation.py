"""How many of its tokens does the first of a ranking need to stay first?

For each query whose first passage is relevant: tokens of that pair go, the least important first,
until its score is below that of the second. Either tokens of query and document go, or of the
document alone. Tokens that go in random order are the control.
Jiang et al. (2021), section 4.3, Table 2.
"""

from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple

import torch

from crosslens import NotMeasurable
from crosslens.frames import Column, Frame, pd
from crosslens.words import random_attribution, truncation

from .means import means_of
from .option_types import Beta, Layer, NoiseLike
from .passed import Passing
from .running import Given, main
from .samples import pairs_of, rankings


IS_SPLIT = True


class Options(NamedTuple):
    pairs: int = 16
    layer: Layer = -1
    noise: NoiseLike = "dataset"
    beta: Beta = "auto"


@dataclass(frozen=True)
class Answer:
    """By query, and on average."""

    queries: Frame  # qid, order, parts, removable, of, share
    removable: Frame  # order, parts, tokens, share, each with low and high; n


def analyse(given: Given) -> Answer:
    """The first passage of every ranking that begins with a relevant one."""
    won = (
        ranking
        for ranking in rankings(given, 2)
        if len(ranking) == 2
        and ranking["is_relevant"].iloc[0]
        # of equals none is the first; in another batch a score has other last digits
        and ranking["score"].iloc[0] - ranking["score"].iloc[1] > 1e-4
    )
    chosen = list(islice(won, given.pairs))
    if not chosen:
        raise NotMeasurable(
            f"no query of collection {given.texts.name!r} has a relevant passage in first place "
            "and another behind it"
        )
    ranking = pd.concat(chosen, ignore_index=True)
    first = ranking[ranking["rank"] == 1]
    second = ranking[ranking["rank"] == 2].set_index("qid")["score"]
    passing = Passing(given)

    def cut_down(row: Column) -> Frame:
        pairs = pairs_of(given, row.to_frame().T)
        rival = torch.tensor([second[row["qid"]]], dtype=torch.float64)
        orders = {
            "bottleneck": passing(pairs),
            "random": random_attribution(given.model, pairs, seed=given.seed),
        }
        rows = []
        for order, attribution in orders.items():
            for parts in (("query", "document"), ("document",)):
                cut = truncation(given.model, attribution, rival, parts=parts)
                rows.append(
                    {
                        "qid": row["qid"],
                        "order": order,
                        "parts": "+".join(parts),
                        "removable": int(cut.removable),
                        "of": int(cut.of),
                        "share": float(cut.share),
                    }
                )
        return pd.DataFrame(rows)

    computes = {str(row["qid"]): partial(cut_down, row) for _, row in first.iterrows()}
    found = given.parts("cutting first passages", "queries", computes)
    queries = pd.concat(found.values(), ignore_index=True)
    return Answer(queries, _means(queries, given.seed))


def _means(queries: Frame, seed: int) -> Frame:
    rows = []
    for (order, parts), some in queries.groupby(["order", "parts"]):
        means = means_of({"tokens": some["removable"], "share": some["share"]}, seed)
        rows.append({"order": order, "parts": parts, **means, "n": len(some)})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main(__spec__.name)
