"""Where does attention rest: on markers, periods or words, and does relevance change that?

The attention that [CLS], [SEP] and periods receive from all tokens, and that query and document
give each other, of every head, in relevant pairs and in other candidates of the same queries.
"A -> B" is the attention placed on A by the tokens of B. Zhan et al. (2020), section 4.1, Fig. 1.
"""

import random
from dataclasses import dataclass
from itertools import product
from typing import Final, NamedTuple

from crosslens import NotMeasurable, Pairs
from crosslens.attention import attention_shares
from crosslens.effectiveness import relevant_from
from crosslens.frames import Frame, pd
from crosslens.probing import with_periods

from .means import means_by
from .running import Given, main
from .samples import relevant_pairs, RelevantPairs, slices


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
    samples = sample(given)

    def of_some(part: tuple[str, slice]) -> Frame:
        (kind, rows), some = part, samples[part[0]]
        table = shares(given, some.of(given, rows))
        return table.assign(kind=kind, qid=[some.qids[rows][i] for i in table["pair"]])

    parts = list(product(samples, slices(len(samples["relevant"].qids), AT_ONCE)))
    pairs = given.table("reading attention", "pairs", of_some, parts)
    keys = ["group", "kind", "layer", "depth"]
    heads = pairs.groupby([*keys, "head"], sort=False, as_index=False)["share"].mean()
    of_pair = pairs.groupby([*keys, "qid"], sort=False)["share"].mean().reset_index()
    wide = of_pair.pivot(index=["group", "layer", "depth", "qid"], columns="kind", values="share")
    gap = (wide["relevant"] - wide["other"]).rename("gap").reset_index()
    differences = means_by(gap, ["group", "layer", "depth"], "gap", "difference")
    return Answer(heads, differences, means_by(of_pair, keys, "share", "share"))


def sample(given: Given) -> dict[str, RelevantPairs]:
    """Queries, each with a "relevant" document, and the same with an "other" candidate.

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
    return {"relevant": RelevantPairs(qids, relevant), "other": RelevantPairs(qids, other)}


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


if __name__ == "__main__":
    main(__spec__.name)
