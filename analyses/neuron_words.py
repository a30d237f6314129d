"""Which words and pairs do the relevance neurons react to?

The neurons with most mean flow in relevant pairs (P) and in others (N) are recorded at every word
of judged pairs. Each is described by the words and the pairs where it is farthest from its mean, by
how much of its variation the word alone explains, whatever stands around it, beside what shuffled
words explain, and by how well its mean over a pair separates relevant pairs from others.
Not in Vast et al. (2024), who count neurons and do not describe them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, NamedTuple

import numpy as np
from scipy.stats import mannwhitneyu

from crosslens import Collection, NotMeasurable, Unit
from crosslens.batching import recorded
from crosslens.frames import Frame, pd
from crosslens.neurons import with_false_discoveries

from .neuron_flows import agreeing_pairs, flows, pairs_of
from .option_types import Baseline, ClassTarget, Steps, Threshold, Tokens
from .running import Given, main
from .samples import slices


IS_SPLIT = True


class Options(NamedTuple):
    collection: list[str] = ["embedded"]  # noqa: RUF012
    pairs: int = 12
    top: Annotated[int, "Neurons of each class that are described."] = 8
    seen: Annotated[int, "Pairs of each collection that describe neurons, at most."] = 64
    words: Annotated[int, "Words and pairs shown of each neuron."] = 6
    repeated: Annotated[int, "A word is shown if it occurs at least so often."] = 2
    baseline: Baseline = "padding"
    target: ClassTarget = "probability"
    steps: Steps = 20
    threshold: Threshold = 0.0
    tokens: Tokens = 96


@dataclass(frozen=True)
class Answer:
    """Omissions; the words of each neuron; its pairs; and what it reacts to."""

    omitted: Frame  # what, why
    words: Frame  # neuron, word, segment, occurrences, deviation (in standard deviations)
    pairs: Frame  # neuron, query, document, is_relevant, deviation
    neurons: Frame  # class, rank, neuron, layer, place, component, flow, and as `described`


AT_ONCE = 16


def analyse(given: Given) -> Answer:
    """The top neurons of the first collection, at the words of all its agreeing pairs."""
    found = flows(given)
    first = found.flows[0]
    neurons, chosen = first.neurons, []
    for kind in ("P", "N"):
        if first.has(kind):
            flow = first.mean(kind)
            order = np.argsort(-flow, kind="stable")[: given.options.top]
            chosen += [(kind, rank, int(at), flow[at]) for rank, at in enumerate(order, 1)]
    if not chosen:
        raise NotMeasurable(f"{first.name}: " + "; ".join(map(first.why_not, "PN")))
    numbers = sorted({at for _, _, at, _ in chosen})
    units = dict(zip(numbers, neurons.units(numbers), strict=True))
    rows, starts = [], []
    computes: dict[str, Callable[[], Frame]] = {}
    for texts in given.collections:
        kept = agreeing_pairs(replace(given, pairs=given.options.seen), texts).rows
        before = sum(map(len, rows))
        rows.append(kept.assign(collection=texts.name))
        for i, part in enumerate(slices(len(kept), AT_ONCE)):
            key = f"{texts.digest[:12]}-{i}"
            computes[key] = partial(at_words, given, texts, kept.iloc[part], units)
            starts.append((key, before + part.start))
    # those of all collections at once, so that processes need not wait between them
    by_key = given.parts("words of neurons", "activations", computes)
    seen = [by_key[key].assign(pair=by_key[key]["pair"] + start) for key, start in starts]
    every, judged = pd.concat(seen, ignore_index=True), pd.concat(rows, ignore_index=True)
    judged["query"] = [given_texts(given, row).queries[row.qid] for row in judged.itertuples()]
    judged["document"] = [
        given_texts(given, row).documents[row.docid] for row in judged.itertuples()
    ]
    words, pairs, facts = [], [], {}
    draw = np.random.default_rng(given.seed)
    for number, unit in units.items():
        values = every[str(unit)].to_numpy()
        deviation = (values - values.mean()) / (values.std() or 1.0)
        some = every[["word", "segment", "pair"]].assign(deviation=deviation)
        words.append(top_words(some, given.options).assign(neuron=str(unit)))
        pairs.append(top_pairs(some, judged, given.options.words).assign(neuron=str(unit)))
        facts[number] = described(some, judged, draw)
    last = max(1, int(neurons.layers.max()))
    table = pd.DataFrame(
        [
            {
                "class": kind,
                "rank": rank,
                "neuron": str(units[at]),
                "layer": int(neurons.layers[at]),
                "place": float(neurons.layers[at] / last),
                "component": neurons.components[at],
                "flow": flow,
                **facts[at],
            }
            for kind, rank, at, flow in chosen
        ]
    )
    shown = pd.concat(words, ignore_index=True)
    line = shown.groupby("neuron", sort=False)["word"].agg(", ".join)
    table = table.assign(words=table["neuron"].map(line).fillna("none occurs so often"))
    return Answer(
        found.omitted,
        shown,
        pd.concat(pairs, ignore_index=True),
        with_false_discoveries(table),
    )


def given_texts(given: Given, row: Any) -> Collection:
    """The collection that a row is of."""
    return next(each for each in given.collections if each.name == row.collection)


def at_words(given: Given, texts: Collection, rows: Frame, units: dict[int, Unit]) -> Frame:
    """The value of each neuron at each word: the mean over its tokens. One row per word."""
    pairs = pairs_of(given.model, texts, rows, given.options.tokens)
    cache, _ = recorded(given.model, pairs, sorted({unit.site for unit in units.values()}))
    at = pairs.word >= 0  # special tokens are of no word
    where = at.nonzero().numpy(force=True)
    table = pd.DataFrame({"pair": where[:, 0], "position": where[:, 1]})
    texts_of = [pairs.words(i) for i in range(len(pairs))]
    table["word"] = [texts_of[i][j].lower() for i, j in where]
    table["number"] = pairs.word[at].numpy(force=True)
    query = pairs.where("query")[at].numpy(force=True)
    table["segment"] = np.where(query, "query", "document")
    for unit in units.values():
        held = dict(unit.coordinates)
        place = tuple(int(held[axis]) for axis in unit.site.axes[2:])
        table[str(unit)] = cache[unit.site][(slice(None), slice(None), *place)][at].numpy(
            force=True
        )
    by = ["pair", "segment", "number", "word"]
    return table.drop(columns="position").groupby(by, as_index=False, sort=False).mean()


def top_words(some: Frame, options: Any) -> Frame:
    """The words whose mean is farthest from the neuron's mean over all words."""
    by = some.groupby(["word", "segment"], sort=False)["deviation"]
    table = by.agg(occurrences="size", deviation="mean").reset_index()
    table = table[table["occurrences"] >= options.repeated]
    order = table["deviation"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order[: options.words]]


def top_pairs(some: Frame, judged: Frame, n: int) -> Frame:
    """The pairs whose mean is farthest from the neuron's."""
    mean = some.groupby("pair")["deviation"].mean()
    order = mean.abs().sort_values(ascending=False, kind="stable").index[:n]
    chosen = judged.loc[order, ["query", "document", "is_relevant"]]
    return chosen.assign(deviation=mean[order]).reset_index(drop=True)


def described(some: Frame, judged: Frame, draw: np.random.Generator) -> dict[str, float | None]:
    """What a neuron goes with.

    `by_word` is the share of its variance over words that repeated words explain, adjusted for
    their number (ε² of a one-way analysis of variance), `by_shuffled` the same of shuffled words.
    `auroc` is the chance that a relevant pair has the higher mean, with the p of the Mann-Whitney
    test; none where there are no pairs of one class.
    """
    word = some["word"].to_numpy()
    values = some["deviation"].to_numpy()
    mean = some.groupby("pair")["deviation"].mean()
    relevant = judged.loc[mean.index, "is_relevant"].to_numpy(dtype=bool)
    test: dict[str, float | None] = {"auroc": None, "p": None}
    if relevant.any() and not relevant.all():
        good, bad = mean[relevant], mean[~relevant]
        found = mannwhitneyu(good, bad)
        test = {"auroc": float(found.statistic / (len(good) * len(bad))), "p": float(found.pvalue)}
    return {
        "by_word": explained(values, word),
        "by_shuffled": explained(values, draw.permutation(word)),
        **test,
    }


def explained(values: np.ndarray, groups: np.ndarray) -> float | None:
    """The share of the variance that groups explain, adjusted; none where no group repeats."""
    table = pd.DataFrame({"value": values, "group": groups})
    within = table["value"] - table.groupby("group")["value"].transform("mean")
    n, k = len(table), table["group"].nunique()
    total = float(((values - values.mean()) ** 2).sum())
    if k < 2 or k >= n or not total > 0:
        return None
    return 1 - float((within**2).sum()) / (n - k) / (total / (n - 1))


if __name__ == "__main__":
    main(__spec__.name)
