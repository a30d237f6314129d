"""From which tokens does each layer take the prediction: query, document or markers?

Integrated gradients of the probability of relevance at the input of every layer, from the states
of an empty query and of an empty document (all their tokens replaced by padding), summed over
groups of tokens. Relevant pairs that the model calls relevant (probability of 0.5 or more) count;
steps are doubled until the sum is within 5 % of what it should be.
Zhan et al. (2020), section 4.2, Fig. 2.
"""

from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple

import torch

from crosslens import NotMeasurable, Pairs
from crosslens.attribution import padding_baseline
from crosslens.frames import Frame, pd
from crosslens.probing import with_periods
from crosslens.words import integrated_gradients, scores_of

from .means import mean_row
from .running import Given, main
from .samples import relevant_pairs, slices


IS_SPLIT = True


class Options(NamedTuple):
    pairs: int = 16
    steps: Annotated[int, "Points on the way to begin with."] = 4
    most_steps: Annotated[int, "Points on the way at most."] = 64
    tolerance: Annotated[float, "The completeness error at which refining stops."] = 0.05


@dataclass(frozen=True)
class Answer:
    """How exact the attributions are, and what each group of tokens adds, layer by layer."""

    completeness: Frame  # baseline, layer, change, error (median), complete (share of pairs), n
    groups: Frame  # baseline, layer, depth, group, attribution, low, high, n


BASELINES: Final = {
    "empty query": ("cls", "sep1", "sep2", "document"),
    "empty document": ("cls", "sep1", "sep2", "query"),
}
GROUPS: Final = {
    "[CLS]": "cls",
    "[SEP]": "sep1|sep2",
    "query": "query",
    "document": "document",
    "periods": "document period",
}
AT_ONCE: Final = 4  # pairs; an interruption loses the work of so many at most


def analyse(given: Given) -> Answer:
    """Both baselines at every layer, some pairs at a time."""
    pairs = relevant_pairs(given.texts, given.pairs, given.seed).of(given, slice(None))
    called = (torch.sigmoid(scores_of(given.model, pairs)) >= 0.5).nonzero().flatten().tolist()
    if not called:
        raise NotMeasurable(
            f"the model gives none of {len(pairs)} relevant pairs a probability of 0.5 or more"
        )

    def of_some(rows: slice) -> Frame:
        return attributed(given, pairs.take(called[rows]))

    every = slices(len(called), AT_ONCE)
    found = given.table("integrating gradients", "pairs", of_some, every)
    n_layers = given.model.cfg.n_layers
    groups, exact = [], []
    for (baseline, layer), some in found.groupby(["baseline", "layer"], sort=False):
        head = {"baseline": baseline, "layer": layer, "n": len(some)}
        is_complete = some["error"] <= given.options.tolerance
        exact.append(
            {
                **head,
                "change": some["change"].mean(),
                "error": some["error"].median(),
                "complete": is_complete.mean(),
            }
        )
        for group in GROUPS:
            row = {**head, "depth": layer / n_layers, "group": group}
            groups.append(row | mean_row(some[group], "attribution", seed=given.seed))
    return Answer(pd.DataFrame(exact), pd.DataFrame(groups))


def attributed(given: Given, pairs: Pairs) -> Frame:
    """One row per baseline, layer and pair: the sum over each group, the change and the error."""
    model, options = given.model, given.options
    marked = with_periods(pairs)
    masks = {group: marked.where(name) for group, name in GROUPS.items()}
    tables = []
    for baseline, keep in BASELINES.items():
        empty = padding_baseline(model, pairs, keep)
        for layer in range(model.cfg.n_layers):
            found = integrated_gradients(
                model,
                pairs,
                empty,
                layer=layer,
                steps=options.steps,
                tolerance=options.tolerance,
                most_steps=options.most_steps,
                of=torch.sigmoid,
            )
            assert found.change is not None
            sums = {group: (found.token * mask).sum(dim=1) for group, mask in masks.items()}
            off = (found.token.sum(dim=1) - found.change).abs()
            error = off / found.change.abs().clamp(min=1e-9)  # a change of 0 has no share
            columns = {**sums, "change": found.change, "error": error}
            tables.append(
                pd.DataFrame(
                    {name: value.double().numpy(force=True) for name, value in columns.items()}
                ).assign(baseline=baseline, layer=layer)
            )
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    main(__spec__.name)
