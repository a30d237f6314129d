"""How well does the attention of single heads rank, without anything else of the model?

A head's score of a pair is the share of its attention that one part of the pair gives to another:
the query's tokens to the document, the document's to the query, the scored row to either. Heads
are chosen on half of the queries, by AUROC, and rank the other half; then the halves change
places. Beside the chosen head stand the mean of the best few and of all heads, BM25, and the
model; controls are a head that is chosen by labels drawn at random, and the length of the document,
which a share of attention follows by itself. In language models few chosen heads rank best (CoRe,
arXiv 2510.02219).
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, NamedTuple

import numpy as np

from crosslens import NotMeasurable
from crosslens.attention import attention_shares
from crosslens.effectiveness import relevant_from
from crosslens.frames import Column, Frame, pd
from crosslens.probing import control_labels
from crosslens.stats import auroc
from crosslens.words import scores_of

from .option_types import Depth
from .ranking_quality import bm25_scores, judged_sample, ranking_quality
from .running import Given, main
from .samples import pairs_of, slices


IS_SPLIT = True


class Options(NamedTuple):
    pairs: int = 480
    depth: Depth = 10
    best: Annotated[int, "How many heads are taken together."] = 8


@dataclass(frozen=True)
class Answer:
    """How each head ranks alone, which were chosen, and how the chosen rank other queries."""

    heads: Frame  # reading, layer, head, measure, mean, low, high, n
    chosen: Frame  # half, by, place, reading, layer, head, auroc (in the queries that chose it)
    rankers: Frame  # ranker, measure, mean, low, high, difference (from the model), diff_low,
    # diff_high, n


READINGS: Final = {  # who gives attention, and to whom; None: the scored row gives
    "query to document": ("query", "document"),
    "document to query": ("document", "query"),
    "scored row to document": (None, "document"),
    "scored row to query": (None, "query"),
}
AT_ONCE: Final = 32  # pairs; an interruption loses the work of so many at most
BEST, BY_LOT, TOGETHER, ALL = "best head", "head chosen by lot", "best heads", "all heads"
HALVES: Final = 2


def analyse(given: Given) -> Answer:
    """The attention of all heads, how each ranks, and how the chosen ones do on other queries."""
    texts, rows = judged_sample(given, given.options.depth)
    least = relevant_from(given.texts.qrels)
    some = [rows[each] for each in slices(len(rows), AT_ONCE)]
    attention = given.table("reading attention", "attention", partial(attention_of, given), some)
    alone = ranking_quality(texts, pd.concat([rows, attention], axis=1), least, given.seed)
    where = pd.DataFrame(
        [(name, *place(name)) for name in attention.columns],
        columns=["condition", "reading", "layer", "head"],
    )
    heads = where.merge(alone).drop(columns=["condition", "difference", "diff_low", "diff_high"])
    chosen, by_heads = choices(given, rows, attention)
    scores = pd.concat([rows.assign(**beside(given, rows)), by_heads], axis=1)
    rankers = ranking_quality(texts, scores, least, given.seed)
    return Answer(heads, chosen, rankers.rename(columns={"condition": "ranker"}))


def attention_of(given: Given, rows: Frame) -> Frame:
    """One row per pair, a column for each reading of each head; 0 where nobody reads."""
    pairs, n_heads = pairs_of(given, rows), given.model.cfg.n_heads
    found = {}
    for dst in dict.fromkeys(dst for dst, _ in READINGS.values()):
        names = {src: name for name, (reader, src) in READINGS.items() if reader == dst}
        for src, shares in attention_shares(given.model, pairs, dst=dst, src=[*names]).items():
            for i, share in enumerate(shares.double().nan_to_num().numpy(force=True)):
                found[f"{names[src]}.{i // n_heads}.{i % n_heads}"] = share
    return pd.DataFrame(found)


def place(name: str) -> tuple[str, int, int]:
    """Reading, layer and head of a column of `attention_of`."""
    reading, layer, head = name.rsplit(".", 2)
    return reading, int(layer), int(head)


def beside(given: Given, rows: Frame) -> dict[str, Any]:
    """The scores of what heads are compared with: the model, BM25, and the document's length."""
    pairs = pairs_of(given, rows)
    return {
        "model": scores_of(given.model, pairs).double().numpy(force=True),
        "BM25": bm25_scores(given, rows),
        "length": pairs.where("document").sum(dim=1).numpy(force=True),
    }


def choices(given: Given, rows: Frame, attention: Frame) -> tuple[Frame, Frame]:
    """The heads that each half of the queries chooses, and the scores that the other half gets."""
    qids = np.random.default_rng(given.seed).permutation(rows["qid"].unique())
    if len(qids) < HALVES:
        raise NotMeasurable("heads are chosen on other queries than they rank: two are needed")
    half = rows["qid"].isin(qids[: len(qids) // HALVES])
    drawn = control_labels(
        rows["is_relevant"].to_numpy(), rows["docid"].to_numpy().astype(str), seed=given.seed
    )
    chosen, scores = [], pd.DataFrame(index=rows.index)
    scores[ALL] = attention.mean(axis=1)
    for number, choosing in enumerate((half, ~half)):
        for by, labels in ((BEST, rows["is_relevant"]), (BY_LOT, pd.Series(drawn, rows.index))):
            found = separated(attention[choosing], labels[choosing], rows["qid"][choosing])
            best = found.sort_values(ascending=False).index[: given.options.best]
            scores.loc[~choosing, by] = attention.loc[~choosing, best[0]]
            if by == BEST:
                scores.loc[~choosing, TOGETHER] = attention.loc[~choosing, best].mean(axis=1)
            chosen += [(number, by, i, *place(name), found[name]) for i, name in enumerate(best)]
    columns = ["half", "by", "place", "reading", "layer", "head", "auroc"]
    return pd.DataFrame(chosen, columns=columns), scores


def separated(scores: Frame, labels: Column, qids: Column) -> Column:
    """How well each column separates the labels of a query (AUROC), mean over queries."""
    found = [
        {name: auroc(scores.loc[i, name].to_numpy(), labels[i].to_numpy()) for name in scores}
        for i in scores.groupby(qids).groups.values()
        if labels[i].nunique() == 2
    ]
    return pd.DataFrame(found).mean()


if __name__ == "__main__":
    main(__spec__.name)
