"""Does a ranking suffer without markers, or without stop words?

The markers [CLS] and [SEP] are hidden as sources of attention in every layer by a token mask, or
[SEP] is deleted from the texts; stop words are deleted from the documents, and as a control as many
other words, by lot. The scored row itself stays. Qiao et al. (2019), section 4.1.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from crosslens import NotMeasurable, Pairs, token_mask
from crosslens.effectiveness import relevant_from
from crosslens.frames import Frame
from crosslens.words import scores_of

from .attention_majority import stopwords_of
from .option_types import Depth, StopWords
from .ranking_quality import judged_sample, ranking_quality
from .running import Given, main
from .samples import pairs_of


IS_SPLIT = True


class Options(NamedTuple):
    pairs: int = 160
    depth: Depth = 10
    stopwords: StopWords = 50


@dataclass(frozen=True)
class Answer:
    """Scores by candidate, and the effectiveness of each condition."""

    candidates: Frame  # qid, docid, is_relevant, original and a score for each condition
    rankings: Frame  # condition, measure, mean, low, high, difference, ..., relative, n


SEPS: Final = ("sep1", "sep2")
HIDDEN: Final = {"markers hidden": ("cls", *SEPS), "[SEP] hidden": SEPS}


def analyse(given: Given) -> Answer:
    """One query after the other: its candidates in every condition."""
    texts, rows = judged_sample(given, given.options.depth)
    stop = stopwords_of(given)
    queries = [some.reset_index(drop=True) for _, some in rows.groupby("qid", sort=False)]
    score = partial(scored, given, stop=stop)
    candidates = given.table("removing words", "scored", score, queries)
    least = relevant_from(given.texts.qrels)
    quality = ranking_quality(texts, candidates, least, given.seed)
    quality["relative"] = quality["difference"] / (quality["mean"] - quality["difference"])
    return Answer(candidates, quality)


def scored(given: Given, rows: Frame, stop: Int[Tensor, " piece"]) -> Frame:
    """The rows with scores in all conditions."""
    model, pairs = given.model, pairs_of(given, rows)
    if model.is_causal and pairs.where("cls", *SEPS)[:, 0].any():
        raise NotMeasurable(
            "in a causal model the first token reads itself alone: as a marker it cannot be hidden"
        )
    scores = {"original": scores_of(model, pairs)}
    for name, src in HIDDEN.items():
        with model.hooked(*(token_mask(i, src=src) for i in range(model.cfg.n_layers))):
            scores[name] = scores_of(model, pairs)
    scores["[SEP] deleted"] = scores_of(model, pairs.only(~pairs.where(*SEPS)))
    for name, words in deleted(pairs, stop, given.seed).items():
        scores[name] = scores_of(model, words)
    return rows.assign(**{name: each.double().numpy(force=True) for name, each in scores.items()})


def deleted(pairs: Pairs, stop: Int[Tensor, " piece"], seed: int) -> dict[str, Pairs]:
    """The pairs without the documents' stop words, and without as many of their other tokens."""
    document = pairs.where("document")
    is_stop = document & torch.isin(pairs.token, stop.to(pairs.device))
    chance = torch.rand(document.shape, generator=torch.Generator().manual_seed(seed))
    rank = chance.to(pairs.device).masked_fill(~(document & ~is_stop), -1)
    rank = rank.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    others = document & ~is_stop & (rank < is_stop.sum(dim=1)[:, None])
    return {
        "stop words deleted": pairs.only(~is_stop),
        "as many others deleted": pairs.only(~others),
    }


if __name__ == "__main__":
    main(__spec__.name)
