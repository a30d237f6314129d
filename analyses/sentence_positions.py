"""Are the important tokens early because of what is said there, or because it is early?

The bottleneck over relevant pairs as they are, and with the sentences of the passage swapped,
shuffled and reversed: where in the passage the important tokens stand, and how relevant the model
still finds it. Jiang et al. (2021), section 4.4, Fig. 10.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch

from crosslens.corpora import ORDERS
from crosslens.frames import Frame, pd
from crosslens.stats import bootstrap_interval
from crosslens.words import scores_of

from .option_types import Beta, Important, Layer, NoiseLike
from .passed import Passing
from .positions import early, histogram, tokens_of
from .running import Given, main
from .samples import relevant_pairs


IS_SPLIT = True


class Options(NamedTuple):
    pairs: int = 8
    layer: Layer = -1
    noise: NoiseLike = "dataset"
    beta: Beta = "auto"
    important: Important = 20


@dataclass(frozen=True)
class Answer:
    """By order of the sentences: positions, the probability of relevance, how early tokens are."""

    positions: Frame  # order, position (first of ten, from 0), tokens, share
    probability: Frame  # order, p, low, high, n
    early: Frame  # order, important, all_tokens, more (each with low and high), n


def analyse(given: Given) -> Answer:
    """One order of the sentences after the other, over the same relevant pairs."""
    texts, model = given.texts, given.model
    sample = relevant_pairs(texts, given.pairs, given.seed)
    queries = [texts.queries[qid] for qid in sample.qids]
    documents = [texts.documents[docid] for docid in sample.docids]
    passing = Passing(given)

    def in_order(name: str, order: Callable[[str, int], str]) -> Frame:
        pairs = model.pairs(queries, [order(text, given.seed) for text in documents])
        p = torch.sigmoid(scores_of(model, pairs).double()).numpy(force=True)
        tokens = tokens_of(passing(pairs), given.options.important)
        return tokens.assign(order=name, p=p[tokens["pair"]])

    orders = {"original": lambda text, _seed: text, **ORDERS}
    parts = {name: partial(in_order, name, order) for name, order in orders.items()}
    found = given.parts("squeezing passages in four orders", "tokens", parts)
    tokens = pd.concat(found.values(), ignore_index=True)
    return Answer(
        histogram(tokens, "order"),
        _probability(tokens, given.seed),
        early(tokens, "order", given.seed),
    )


def _probability(tokens: Frame, seed: int) -> Frame:
    of_pair = tokens.groupby(["order", "pair"], sort=False)["p"].first()
    p = of_pair.unstack("pair")
    low, high = bootstrap_interval(p.to_numpy(), seed=seed)
    return pd.DataFrame(
        {
            "order": p.index,
            "p": p.mean(axis=1).to_numpy(),
            "low": low,
            "high": high,
            "n": p.shape[1],
        }
    )


if __name__ == "__main__":
    main(__spec__.name)
