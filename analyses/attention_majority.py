"""How many tokens give most of their attention to markers, to stop words or to other words?

The words of query and document are stop words or regular words; [CLS] and [SEP] are the markers. A
token gives a group the *majority* if the group gets more than half of its attention, and *more than
average* if it gets more than a third (an equal share of the three groups), or more than the group's
share of the tokens (even attention). The attention is the mean over heads, or each head's own.
Qiao et al. (2019), section 4.1, Fig. 1.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from einops import einsum
from jaxtyping import Bool, Int
from torch import Tensor

from crosslens import CrossEncoder, Pairs
from crosslens.batching import in_batches
from crosslens.frames import Frame, pd
from crosslens.probing import frequent_pieces

from .means import mean_row
from .option_types import Depth, StopWords
from .ranking_quality import judged_sample
from .running import Given, main
from .samples import pairs_of, slices


IS_SPLIT = True


class Options(NamedTuple):
    pairs: int = 120
    depth: Depth = 10
    stopwords: StopWords = 50


@dataclass(frozen=True)
class Answer:
    """The senders of each group, by head and by layer."""

    heads: Frame  # group, counts, layer, depth, head, share
    layers: Frame  # group, counts, heads (mean, each), layer, depth, share, low, high, senders, n


GROUPS: Final = ("markers", "stop words", "regular words")
COUNTS: Final = ("majority", "more than a third", "more than even")
AT_ONCE: Final = 8  # pairs


def analyse(given: Given) -> Answer:
    """Some pairs at a time."""
    _, rows = judged_sample(given, given.options.depth)
    stop = stopwords_of(given)

    def counted_in(some: slice) -> Frame:
        return counted(given.model, pairs_of(given, rows[some]), stop)

    every = slices(len(rows), AT_ONCE)
    found = given.table("reading attention", "pairs", counted_in, every)
    found["depth"] = (found["layer"] + 1) / given.model.cfg.n_layers
    by_head = found[found["head"] >= 0]
    keys = ["group", "counts", "layer", "depth"]
    heads = by_head.groupby([*keys, "head"], sort=False, as_index=False)["share"].mean()
    means = {"mean": found[found["head"] < 0], "each": by_head}
    layers = []
    for name, table in means.items():
        of_pair = table.groupby([*keys, "text"], sort=False)[["share", "senders"]].mean()
        for key, some in of_pair.groupby(keys, sort=False):
            row = {**dict(zip(keys, key, strict=True)), "heads": name, **some.mean().to_dict()}
            layers.append(row | mean_row(some["share"], "share", seed=given.seed))
    return Answer(heads, pd.DataFrame(layers))


def stopwords_of(given: Given) -> Int[Tensor, " piece"]:
    """The ids of the pieces that count as stop words in the collection."""
    documents = [*given.texts.documents.values()]
    return frequent_pieces(given.model.tokens.tokenizer, documents, n=given.options.stopwords)


def groups_of(pairs: Pairs, stop: Int[Tensor, " piece"]) -> Bool[Tensor, "group pair pos"]:
    """The tokens of each of `GROUPS`; every token is in one."""
    words, is_stop = (
        pairs.where("query", "document"),
        torch.isin(pairs.token, stop.to(pairs.device)),
    )
    return torch.stack([pairs.attended & ~words, words & is_stop, words & ~is_stop])


@torch.no_grad()
def counted(model: CrossEncoder, pairs: Pairs, stop: Int[Tensor, " piece"]) -> Frame:
    """The senders of each pair: group, counts, layer, head (-1: the mean), text, share, senders."""
    axes = "layer counts group pair head"
    found = in_batches(model, pairs, axes, lambda some, _: senders(model, some, stop))
    index = pd.MultiIndex.from_product(
        [range(len(found)), COUNTS, GROUPS, range(len(pairs)), range(-1, found.shape[-1] - 1)],
        names=["layer", "counts", "group", "text", "head"],
    )
    table = pd.DataFrame({"senders": found.flatten().numpy(force=True)}, index=index).reset_index()
    table["share"] = table["senders"] / table["text"].map(dict(enumerate(pairs.lengths.tolist())))
    texts = [
        f"{query}\n{document}" for query, document in zip(pairs.query, pairs.document, strict=True)
    ]
    return table.assign(text=[texts[i] for i in table["text"]])


def senders(
    model: CrossEncoder, pairs: Pairs, stop: Int[Tensor, " piece"]
) -> Int[Tensor, "layer counts group pair head"]:
    """How many tokens send so much; head 0 is the mean of all, whose place is before theirs."""
    groups, there, n = groups_of(pairs, stop), pairs.attended, pairs.lengths
    even = groups.sum(dim=2) / n
    above = {"majority": even.new_tensor(0.5), "more than a third": even.new_tensor(1 / 3)}
    above["more than even"] = even[:, :, None, None]
    layers: list[Int[Tensor, "counts group pair head"]] = []

    def count(pattern: Tensor) -> None:
        given = einsum(pattern, groups.to(pattern), "p h dst src, g p src -> g p h dst")
        given = torch.cat([given.mean(dim=2, keepdim=True), given], dim=2)
        sent = [(given > above[name]) & there[:, None] for name in COUNTS]
        layers.append(torch.stack(sent).sum(dim=-1))

    with model.tapped([(site, count) for site in model.sites("pattern")]):
        model(pairs)
    return torch.stack(layers)


if __name__ == "__main__":
    main(__spec__.name)
