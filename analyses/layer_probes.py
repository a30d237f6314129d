"""From which layer on, and in which tokens, can relevance be read?

Probes are fitted to the states of seven groups of tokens after every layer, and rank the candidates
of queries that they have not seen: a linear one on a group's mean state, that of the paper (two
layers on every state, the largest output decides) with the padding masked, and the same as
published, where padding counts as a state. A linear probe is fitted to a control task too: labels
that are drawn at random for each document. A pair without a token of a group gets the mean
prediction, but for the published probe, which reads padding.
Zhan et al. (2020), section 4.3, Fig. 3.
"""

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from crosslens import Collection, NotMeasurable
from crosslens.effectiveness import relevant_from
from crosslens.frames import Frame, pd
from crosslens.probing import (
    control_labels,
    Features,
    features,
    frequent_pieces,
    held_out,
    max_probe,
    token_groups,
    Training,
)

from .means import mean_row
from .option_types import Depth
from .ranking_quality import judged_sample, ranking_quality
from .running import Given, main
from .samples import pairs_of


IS_SPLIT = True


class Options(NamedTuple):
    pairs: int = 480
    depth: Depth = 10
    epochs: Annotated[int, "Epochs of the paper's probe; 0 leaves it out."] = 5
    rate: Annotated[float, "Its learning rate; published: 1e-4, for many more queries."] = 2e-3
    folds: Annotated[int, "In how many parts the queries are split."] = 3


@dataclass(frozen=True)
class Answer:
    """How well each probe ranks, what it has memorised, and where a group has no token."""

    missing: Frame  # group, share of pairs without a token of it, pairs
    controls: Frame  # group, layer, depth, auroc, control, selectivity, low, high, n
    probes: Frame  # probe, group, layer, depth, measure, mean, low, high, difference (from the
    # paper's probe, if it was fitted), diff_low, diff_high, n


MAX_PROBES: Final = {"paper": True, "paper, padding counts": False}  # is the padding masked?


def analyse(given: Given) -> Answer:
    """Features of all groups and layers in one pass, then the probes, one group after the other."""
    texts, rows = judged_sample(given, given.options.depth)
    documents = [*given.texts.documents.values()]
    stopwords = frequent_pieces(given.model.tokens.tokenizer, documents)
    pairs = pairs_of(given, rows)
    generator = torch.Generator().manual_seed(given.seed)
    groups = token_groups(pairs, stopwords, generator=generator)
    there = {name: mask.any(dim=1) for name, mask in groups.items()}
    missing = pd.DataFrame(
        [(name, 1 - float(has.double().mean()), len(pairs)) for name, has in there.items()],
        columns=["group", "share", "pairs"],
    )

    @cache
    def recorded() -> dict[str, Features]:
        # half precision, as published; a resumed run that has all its probes needs no states
        return features(given.model, pairs, groups, dtype=torch.float16)

    parts = [
        lambda name=name: probed(given, texts, rows, name, recorded()[name])
        for name, has in there.items()
        if has.any()
    ]
    found = given.gathered("fitting probes", ["controls", "probes"], parts)
    return Answer(missing, found["controls"], found["probes"])


def probed(
    given: Given, texts: Collection, rows: Frame, group: str, states: Features
) -> dict[str, Frame]:
    """Both tables' rows of one group of tokens."""
    options, seed = given.options, given.seed
    labels, qids = rows["is_relevant"].to_numpy(), rows["qid"].to_numpy()
    there = states.counts.numpy() > 0
    random_labels = control_labels(labels, rows["docid"].to_numpy().astype(str), seed=seed)
    training = Training(epochs=options.epochs, rate=options.rate)
    least = relevant_from(given.texts.qrels)
    controls, probes = [], []
    for layer in range(len(states.vectors)):
        means = states.means(layer).numpy()
        place = {"group": group, "layer": layer, "depth": layer / (len(states.vectors) - 1)}
        linear, control = (
            held_out(means, each, qids, train=there, folds=options.folds, seed=seed)
            for each in (labels, random_labels)
        )
        controls.append({**place, **_selectivity(linear.by_query(), control.by_query(), seed)})
        found = {}  # the difference of padding that counts is from padding that is masked
        for name, is_masked in MAX_PROBES.items():
            # where every pair has as many states there is no padding to mask
            if options.epochs and (is_masked or states.counts.unique().numel() > 1):
                found[name] = max_probe(
                    states,
                    layer,
                    labels,
                    qids,
                    is_padding_masked=is_masked,
                    training=training,
                    folds=options.folds,
                    seed=seed,
                )
        found["linear"] = linear
        scores = rows.assign(**{name: each.predicted for name, each in found.items()})
        quality = ranking_quality(texts, scores, least, seed)
        probes.append(quality.rename(columns={"condition": "probe"}).assign(**place))
    return {"controls": pd.DataFrame(controls), "probes": pd.concat(probes, ignore_index=True)}


def _selectivity(
    task: Float[np.ndarray, " query"], control: Float[np.ndarray, " query"], seed: int
) -> dict[str, float]:
    """Both AUROCs and their difference over the queries for which both are known."""
    both = ~(np.isnan(task) | np.isnan(control))
    if not both.any():
        raise NotMeasurable("no query has both kinds of labels in the control task")
    means = {"auroc": task[both].mean(), "control": control[both].mean()}
    return means | mean_row(task[both] - control[both], "selectivity", seed=seed)


if __name__ == "__main__":
    main(__spec__.name)
