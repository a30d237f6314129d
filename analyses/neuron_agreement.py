"""Do the neurons that much flows through move the score when each is silenced alone?

Random neurons, as many of each layer, are ranked by mean conductance, and by the exact fall of the
target when the neuron alone is 0 at every token: with their signs, as schemes are chosen, and by
size. Beside rank correlation and precision at k stand two controls: the exact falls in one half of
the pairs against those in the other, which no method can be expected to exceed, and the
conductance of shuffled neurons. Conductance starts from the baseline and ablation goes to 0, so
that even exact numbers would differ.
Not in Vast et al. (2024), who rank by conductance alone.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from scipy.stats import rankdata, spearmanr

from crosslens import Collection, NotMeasurable
from crosslens.frames import Frame, pd
from crosslens.neurons import (
    baseline,
    neuron_flow,
    Neurons,
    single_ablation,
    target,
    with_false_discoveries,
)
from crosslens.stats import top_k_overlap
from crosslens.words import scores_of

from .neuron_flows import agreeing_pairs, CLASS, first_pair, omissions, pairs_of
from .option_types import Baseline, Steps, Threshold, Tokens
from .running import Given, main
from .samples import slices


IS_SPLIT = True


class Options(NamedTuple):
    collection: list[str] = ["embedded"]  # noqa: RUF012
    pairs: int = 24
    neurons: Annotated[int, "Drawn from each layer."] = 32
    top: Annotated[float, "Precision is that of the top so many per cent of those drawn."] = 10
    baseline: Baseline = "padding"
    target: Annotated[Literal["probability", "score"], "What flows, and what falls."] = "score"
    steps: Steps = 20
    threshold: Threshold = 0.0
    tokens: Tokens = 96


@dataclass(frozen=True)
class Answer:
    """Pairs used; omissions; mean flow and fall of each neuron drawn; and how they agree."""

    pairs: Frame  # collection, class, drawn, agreeing
    omitted: Frame  # what, why
    neurons: Frame  # collection, class, neuron, layer, component, flow, fall
    agreement: Frame  # curve, collection, class, layer, compared, and as `compared`


AT_ONCE = 8
DRAWS = 400  # of the pairs, for intervals
FEWEST = 4  # pairs of a class, two in each half
FLOW, SIZES = "flow with fall", "size of flow with size of fall"
HALVES, SHUFFLED = "fall in two halves", "flow of shuffled neurons"


def analyse(given: Given) -> Answer:
    """The agreement of flow and fall in each collection and class, over all layers and in each."""
    options = given.options
    if options.neurons < 2 or not 0 < options.top <= 100:
        raise ValueError(
            f"--neurons {options.neurons}, --top {options.top:g}: two neurons of a layer at least "
            "are ranked, and the top is above 0 and at most 100 per cent"
        )
    every = Neurons.of(given.model, first_pair(given.model, given.collections[0], options.tokens))
    drawn = drawn_neurons(every, options.neurons, given.seed)
    counts, missing, neurons, rows = [], [], [], []
    for texts in given.collections:
        kept = agreeing_pairs(given, texts)
        counts.append(kept.counts)
        for kind, name in CLASS.items():
            some = kept.rows[kept.rows["is_relevant"] == kind]
            if len(some) < FEWEST:
                why = f"{len(some)} pairs agree with their judgement, {FEWEST} are needed"
                missing.append({"what": f"{name} {texts.name}", "why": why})
                continue
            flow, fall = flows_and_falls(given, texts, some, every, drawn, kind)
            facts = {"collection": texts.name, "class": name}
            named = pd.DataFrame(
                {
                    "neuron": [str(unit) for unit in every.units(drawn.tolist())],
                    "layer": every.layers[drawn],
                    "component": every.components[drawn],
                    "flow": flow.mean(axis=0),
                    "fall": fall.mean(axis=0),
                }
            )
            neurons.append(named.assign(**facts))
            rows += [
                {"curve": f"{name}: {row['compared']}", **facts, **row}
                for row in by_layer(flow, fall, every.layers[drawn], given)
            ]
    if not rows:
        raise NotMeasurable("; ".join(f"{each['what']}: {each['why']}" for each in missing))
    return Answer(
        pd.concat(counts, ignore_index=True),
        omissions(missing),
        pd.concat(neurons, ignore_index=True),
        with_false_discoveries(pd.DataFrame(rows)),
    )


def drawn_neurons(neurons: Neurons, n: int, seed: int) -> np.ndarray:
    """The numbers of `n` random neurons of each layer, of all where it has fewer."""
    draw, found = np.random.default_rng(seed), []
    for layer in np.unique(neurons.layers):
        here = np.flatnonzero(neurons.layers == layer)
        found.append(np.sort(draw.choice(here, min(n, len(here)), replace=False)))
    return np.concatenate(found)


def flows_and_falls(
    given: Given,
    texts: Collection,
    rows: Frame,
    every: Neurons,
    drawn: np.ndarray,
    kind: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Flow, and fall of the target when it is silenced, of each neuron drawn: pairs by neurons."""
    options = given.options
    begin = baseline(options.baseline)
    toward = target(options.target, is_relevant=kind)
    units, parts = every.units(drawn.tolist()), list(slices(len(rows), AT_ONCE))

    def silenced(part: slice) -> Frame:
        pairs = pairs_of(given.model, texts, rows.iloc[part], options.tokens)
        start = begin(given.model, pairs)
        flow = neuron_flow(given.model, pairs, start, target=toward, steps=options.steps)
        falls = single_ablation(given.model, pairs, units).double().numpy(force=True)
        scores = scores_of(given.model, pairs).double().numpy(force=True)
        fall = falls_of(options.target, kind, scores, falls)
        return pd.DataFrame(
            {"flow": list(flow.values[:, drawn].astype(float)), "fall": list(fall.T)}
        )

    step, name = f"neurons silenced alone: {texts.name} {CLASS[kind]}", texts.digest[:12]
    computes = {
        f"{name}-{CLASS[kind]}-{i}": partial(silenced, part) for i, part in enumerate(parts)
    }
    found = given.parts(step, "falls", computes)
    table = pd.concat(found.values(), ignore_index=True)
    return np.stack(table["flow"].to_list()), np.stack(table["fall"].to_list())


def falls_of(name: str, kind: bool, whole: np.ndarray, falls: np.ndarray) -> np.ndarray:
    """Falls of the score, neurons by pairs, as falls of the target of the class."""
    sign = 1 if kind else -1
    if name == "score":
        return sign * falls
    probability = lambda score: 1 / (1 + np.exp(-sign * score))  # noqa: E731
    return probability(whole) - probability(whole - falls)


def by_layer(
    flow: np.ndarray, fall: np.ndarray, layers: np.ndarray, given: Given
) -> list[dict[str, Any]]:
    """The rows of the agreement: over all layers, and in each."""
    draw = np.random.default_rng(given.seed)
    order = draw.permutation(flow.shape[1])
    halves = fall[0::2], fall[1::2]
    rows = []
    for layer in ("all", *np.unique(layers)):
        here = np.ones(len(layers), dtype=bool) if layer == "all" else layers == layer
        k = max(1, round(given.options.top / 100 * here.sum()))
        for name, one, other in (
            (FLOW, flow, fall),
            (SIZES, flow, fall),
            (HALVES, *halves),
            (SHUFFLED, flow[:, order], fall),
        ):
            of = np.abs if name == SIZES else np.positive
            values = compared(one[:, here], other[:, here], k, draw, of, are_same=name != HALVES)
            rows.append({"layer": str(layer), "compared": name, "pairs": len(flow), **values})
    return rows


def compared(
    one: np.ndarray,
    other: np.ndarray,
    k: int,
    draw: np.random.Generator,
    of: np.ufunc = np.positive,
    *,
    are_same: bool,
) -> dict[str, float | int | None]:
    """Rank correlation of two means over pairs, and the share of either's top k in the other's.

    The intervals are of draws of the pairs, of both at once where they are the same pairs. `p` is
    that of the rank correlation over neurons. None where all neurons are equal: a dead layer.

    Args:
        one: pairs by neurons.
        other: pairs by neurons.
        of: what of the means is ranked: themselves, or their size.
        are_same: whether both are of the same pairs.
    """
    n = one.shape[1]
    facts = {"neurons": n, "k": k, "chance": k / n}
    means = of(one.mean(axis=0)), of(other.mean(axis=0))
    if min(np.ptp(each) for each in means) == 0:
        names = ("spearman", "low", "high", "p", "precision", "precision_low", "precision_high")
        return facts | dict.fromkeys(names)
    times = [
        draw.multinomial(len(each), np.full(len(each), 1 / len(each)), size=DRAWS) / len(each)
        for each in (one, other)
    ]
    again = of(times[0] @ one), of(times[0 if are_same else 1] @ other)
    ranks = [rankdata(each, axis=1) for each in again]
    ranks = [each - each.mean(axis=1, keepdims=True) for each in ranks]
    size = np.sqrt((ranks[0] ** 2).sum(axis=1) * (ranks[1] ** 2).sum(axis=1))
    correlations = (ranks[0] * ranks[1]).sum(axis=1)[size > 0] / size[size > 0]
    shares = [top_k_overlap(a, b, k) for a, b in zip(*again, strict=True)]
    test: Any = spearmanr(*means)
    return facts | {
        "spearman": float(test.statistic),
        "low": float(np.quantile(correlations, 0.025)),
        "high": float(np.quantile(correlations, 0.975)),
        "p": float(test.pvalue),
        "precision": top_k_overlap(*means, k),
        "precision_low": float(np.quantile(shares, 0.025)),
        "precision_high": float(np.quantile(shares, 0.975)),
    }


if __name__ == "__main__":
    main(__spec__.name)
