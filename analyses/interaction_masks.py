"""In which layers must query and document read each other?

Attention masks over the first i layers: "document" hides the query from the tokens of the document
(and the last [SEP]), "query" hides the document from the tokens of the query, "both" does both.
[CLS] and the first [SEP] read everything. What comes after layer i starts from the masked states,
so that all i cost one masked pass and the rests of the pass. A second table replaces the query by
another one of the same length and says how far the states of document tokens move, when every
layer hides the query from them: under a token mask not at all.
Zhan et al. (2020), section 5, Fig. 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Final, NamedTuple

import torch
from crosslens.circuits.document_states import READS
from jaxtyping import Float
from torch import Tensor

from crosslens import attention_mask, CrossEncoder, Hook, Pairs, token_mask
from crosslens.batching import in_batches
from crosslens.effectiveness import relevant_from
from crosslens.frames import Frame, pd

from .means import mean_row
from .option_types import Depth
from .ranking_quality import judged_sample, ranking_quality
from .running import Given, main
from .samples import pairs_of


IS_SPLIT = True


class Options(NamedTuple):
    pairs: int = 240
    depth: Depth = 10
    swapped: Annotated[int, "How many queries are replaced by another one, at most."] = 24


@dataclass(frozen=True)
class Answer:
    """Scores, what the query changes in the document's states, and effectiveness by layers."""

    candidates: Frame  # qid, docid, is_relevant, original, then "query 1" and so on: mask, layers
    leak: Frame  # mask, layer, depth, change (relative, of document states), low, high, n
    rankings: Frame  # hidden_from, layers, depth, measure, mean, low, high, difference, ..., n


MASKS: Final = {"document": ("document",), "query": ("query",), "both": ("document", "query")}


def analyse(given: Given) -> Answer:
    """One query after the other: its candidates under every mask."""
    texts, rows = judged_sample(given, given.options.depth)
    queries = [some.reset_index(drop=True) for _, some in rows.groupby("qid", sort=False)]
    candidates = given.table("masking layers", "scored", partial(scored, given), queries)
    least = relevant_from(given.texts.qrels)
    quality = ranking_quality(texts, candidates, least, given.seed)
    base = quality[quality["condition"] == "original"]
    tables = [base.assign(hidden_from=name, layers=0) for name in MASKS]
    other = quality[quality["condition"] != "original"]
    names = other["condition"].str.split(" ", expand=True)
    tables.append(other.assign(hidden_from=names[0], layers=names[1].astype(int)))
    rankings = pd.concat(tables, ignore_index=True).drop(columns="condition")
    rankings["depth"] = rankings["layers"] / given.model.cfg.n_layers
    order = ["hidden_from", "layers", "depth"]
    rest = [name for name in rankings.columns if name not in order]
    first = [some.head(1) for some in queries[: given.options.swapped]]
    leak = given.keep("leak", "all", lambda: leaked(given, pd.concat(first, ignore_index=True)))
    return Answer(candidates, leak, rankings[[*order, *rest]].sort_values(order, kind="stable"))


def interaction_mask(layer: int, name: str) -> list[Hook]:
    """The hooks of one layer."""
    return [
        attention_mask(layer, dst=dst, src=src) for dst, src in map(READS.__getitem__, MASKS[name])
    ]


@torch.no_grad()
def masked_prefixes(
    model: CrossEncoder, pairs: Pairs, hooks: Sequence[Hook]
) -> Float[Tensor, "layers pair"]:
    """The scores when `hooks` act in the first i layers alone, for i from 1 to all layers."""
    streams = model.sites("resid_pre")
    with model.hooked(*hooks), model.record(*streams[1:]) as cache:
        last = model(pairs)
    # what a layer reads under all hooks, the layers before it alone have changed
    rests = [model.suffix(pairs, i, cache[streams[i]]) for i in range(1, len(streams))]
    return torch.stack([*rests, last])


@torch.no_grad()
def scored(given: Given, rows: Frame) -> Frame:
    """The rows with scores under every mask over every number of layers."""
    model, pairs = given.model, pairs_of(given, rows)
    layers = range(model.cfg.n_layers)
    hooks = {
        name: [hook for layer in layers for hook in interaction_mask(layer, name)] for name in MASKS
    }

    def under_all(some: Pairs, _: list[int]) -> Float[Tensor, "condition pair"]:
        masked = [masked_prefixes(model, some, each) for each in hooks.values()]
        return torch.cat([model(some)[None], *masked])

    names = ["original", *(f"{name} {i + 1}" for name in MASKS for i in layers)]
    scores = in_batches(model, pairs, "condition pair", under_all).double().numpy(force=True)
    return pd.concat([rows, pd.DataFrame(scores.T, columns=names)], axis=1)


@torch.no_grad()
def leaked(given: Given, rows: Frame) -> Frame:
    """How far another query of the same length moves the document's states after every layer.

    The mean over document tokens of the distance over the norm, with an interval over pairs.
    """
    model = given.model
    outputs = model.block_outputs()
    pairs = pairs_of(given, rows)
    swapped = with_other_queries(pairs)
    dst, src = READS["document"]
    masks = {
        "none": [],
        "attention mask": [attention_mask(i, dst=dst, src=src) for i in range(len(outputs))],
        "token mask": [token_mask(i, dst=dst, src=src) for i in range(len(outputs))],
    }

    def moved(some: Pairs, rows: list[int], hooks: Sequence[Hook]) -> Float[Tensor, "layer pair"]:
        states = []
        for each in (some, swapped.take(rows, width=some.token.shape[1])):
            with model.hooked(*hooks), model.record(*outputs) as cache:
                model(each)
            states.append(torch.stack([cache[site] for site in outputs]))
        one, other = states
        change = (one - other).norm(dim=3) / one.norm(dim=3)
        inside = some.where("document")
        return (change * inside).sum(dim=2) / inside.sum(dim=1)

    found = []
    for name, hooks in masks.items():
        changes = in_batches(model, pairs, "layer pair", partial(moved, hooks=hooks))
        for layer, values in enumerate(changes.double().numpy(force=True), start=1):
            row = {"mask": name, "layer": layer, "depth": layer / len(outputs)}
            found.append(row | mean_row(values, "change", seed=given.seed))
    return pd.DataFrame(found)


def with_other_queries(pairs: Pairs) -> Pairs:
    """Every pair with the tokens of another query, cut or repeated to the length of its own.

    Nothing but the tokens of the query changes: positions, segments and words stay. Where all
    queries are the same, their tokens are reversed.
    """
    token, query, n_pairs = pairs.token.clone(), pairs.where("query"), len(pairs)
    for i in range(n_pairs):
        own = pairs.token[i, query[i]]
        following = [(i + step) % n_pairs for step in range(1, n_pairs)]
        others = (pairs.token[j, query[j]] for j in following if pairs.query[j] != pairs.query[i])
        other = next(others, own.flip(0))
        token[i, query[i]] = other.repeat(-(-len(own) // len(other)))[: len(own)]
    return replace(pairs, token=token)


if __name__ == "__main__":
    main(__spec__.name)
