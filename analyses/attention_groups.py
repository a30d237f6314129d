"""Where does attention rest: on markers, periods or words, and does relevance change that?

The attention that [CLS], [SEP] and periods receive from all tokens, and that query and document
give each other, of every head, in relevant pairs and in other candidates of the same queries.
"A -> B" is the attention placed on A by the tokens of B. Zhan et al. (2020), section 4.1, Fig. 1.
"""

import random
from dataclasses import dataclass
from typing import Final, NamedTuple

from crosslens import NotMeasurable, Pairs
from crosslens.attention import attention_shares
from crosslens.effectiveness import relevant_from
from crosslens.frames import Column, Frame, pd
from crosslens.probing import with_periods
from crosslens.stats import bootstrap_interval

from .running import Given, main
from .samples import relevant_pairs, slices


IS_SPLIT = True


class Options(NamedTuple):
    pairs: int = 48


@dataclass(frozen=True)
class Answer:
    """Mean shares of attention by head and by layer, and how relevant pairs differ."""

    heads: Frame  # group, kind, layer, depth, head, share
    differences: Frame  # group, layer, depth, difference (relevant less other), low, high, n
    layers: Frame  # group, kind, layer, depth, share, low, high, n


ALL: Final = "cls|query|sep1|document|sep2"
GROUPS: Final = {  # who gives attention, and to whom
    "[CLS]": (ALL, "cls"),
    "[SEP]": (ALL, "sep1|sep2"),
    "periods": (ALL, "query period|document period"),
    "query -> query": ("query", "query"),
    "doc -> query": ("query", "document"),
    "query -> doc": ("document", "query"),
    "doc -> doc": ("document", "document"),
}
AT_ONCE: Final = 8  # pairs; an interruption loses the work of so many at most


def analyse(given: Given) -> Answer:
    """The shares of both kinds of pairs, some queries at a time."""
    qids, documents = sample(given)
    texts = given.texts
    parts = [
        lambda kind=kind, rows=rows: {
            "pairs": shares(
                given,
                given.model.pairs(
                    [texts.queries[qid] for qid in qids[rows]],
                    [texts.documents[docid] for docid in documents[kind][rows]],
                ),
            ).assign(kind=kind, qid=lambda table: [qids[rows][i] for i in table["pair"]])
        }
        for kind in documents
        for rows in slices(len(qids), AT_ONCE)
    ]
    pairs: Frame = given.gathered("reading attention", ["pairs"], parts)["pairs"]
    keys = ["group", "kind", "layer", "depth"]
    heads = pairs.groupby([*keys, "head"], sort=False, as_index=False)["share"].mean()
    of_pair = pairs.groupby([*keys, "qid"], sort=False)["share"].mean().reset_index()
    layers = pd.DataFrame(
        {**dict(zip(keys, key, strict=True)), "share": some["share"].mean(), **_ends(some["share"])}
        for key, some in of_pair.groupby(keys, sort=False)
    )
    wide = of_pair.pivot(index=["group", "layer", "depth", "qid"], columns="kind", values="share")
    gap = (wide["relevant"] - wide["other"]).rename("gap").reset_index()
    differences = pd.DataFrame(
        {**dict(zip(("group", "layer", "depth"), key, strict=True))}
        | {"difference": some["gap"].mean(), **_ends(some["gap"])}
        for key, some in gap.groupby(["group", "layer", "depth"], sort=False)
    )
    return Answer(heads, differences, layers)


def sample(given: Given) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Queries, and for each a relevant document and another candidate.

    Raises:
        NotMeasurable: no query has both.
    """
    texts = given.texts
    least = relevant_from(texts.qrels)
    found = []
    good = relevant_pairs(texts, len(texts.queries), given.seed)
    for qid, docid in zip(good.qids, good.docids, strict=True):
        labels = texts.labels[qid]
        others = [each for each in texts.candidates.get(qid, ()) if labels.get(each, 0) < least]
        if others:
            draw = random.Random(f"{given.seed} {qid}")
            found.append((qid, docid, draw.choice(others)))
    if not found:
        raise NotMeasurable(
            f"no query of collection {texts.name!r} has both relevant and other candidates"
        )
    qids, relevant, other = zip(*found[: given.pairs], strict=True)
    return qids, {"relevant": relevant, "other": other}


def shares(given: Given, pairs: Pairs) -> Frame:
    """Columns: group, pair, layer, depth, head, share."""
    marked = with_periods(pairs)
    n_layers, n_heads = given.model.cfg.n_layers, given.model.cfg.n_heads
    tables = []
    for dst in dict.fromkeys(dst for dst, _ in GROUPS.values()):
        names = {name: src for name, (reader, src) in GROUPS.items() if reader == dst}
        found = attention_shares(given.model, marked, dst=dst, src=tuple(names.values()))
        for name, src in names.items():
            table = pd.DataFrame(found[src].double().numpy(force=True)).stack()
            table = table.rename_axis(["unit", "pair"]).rename("share").reset_index()
            layer = table["unit"] // n_heads
            tables.append(
                table.assign(
                    group=name,
                    layer=layer,
                    depth=(layer + 1) / n_layers,
                    head=table["unit"] % n_heads,
                ).drop(columns="unit")
            )
    return pd.concat(tables, ignore_index=True)


def _ends(values: Column) -> dict[str, float]:
    low, high = bootstrap_interval(values.to_numpy())
    return {"low": float(low), "high": float(high), "n": len(values)}


if __name__ == "__main__":
    main(__spec__.name)
