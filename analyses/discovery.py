"""Which discovery method finds a planted circuit, and at what cost?

Of each planted model (`planted_family`) every method ranks the heads, the neurons and the
edges, and the truth is known. R-precision is the share of true members among as many parts as
there are members: 1 if the method is right, the share of members among all parts by chance.

All is computed in float64, for a bystander does nothing but round: numbers below 1e-5 of
the method's largest count as equal, and an even share of equals as found. Arithmetic is
counted as so many forward passes over the pairs, in the first condition; seconds are medians.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from multiprocessing import get_context
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
import pandas as pd
import torch

from crosslens import Axioms, Collection, discover, load, plant
from crosslens.discovery import forward_passes, methods_for
from crosslens.stats import auroc, average_precision, r_precision

from .heatmap import heatmap
from .means import means_of
from .planted_family import CONDITIONS, QUICK, SLOW, SYNONYMS, tasks
from .running import Given, main


ROUNDING: Final = 1e-5
MEASURES: Final = (r_precision, auroc, average_precision)


class Options(NamedTuple):
    """Which planted models, and how the work is done."""

    model: None = None  # it plants its own
    pairs: int = 3
    seeds: Annotated[int, "Planted models of each condition."] = 3
    jobs: Annotated[int | None, "Processes; by default one for each core."] = None
    quick: Annotated[bool, "One tiny model, in this process, its arithmetic not counted."] = False
    conditions: Annotated[list[str], "By default all but '12 x 12', which is slow."] = []  # noqa: RUF012


@dataclass(frozen=True)
class Answer:
    """One row per model, kind of part and method; means with intervals; and the answer."""

    models: pd.DataFrame
    summary: pd.DataFrame
    answer: pd.DataFrame  # R-precision: methods by conditions, and the cost


class Question(NamedTuple):
    """One planted model to put all methods to."""

    condition: str
    seed: int
    n: int  # pairs
    is_counted: bool  # whether the arithmetic is counted as well: everything runs once more


def analyse(given: Given) -> Answer:
    """Every method on every condition, over the pairs of a model for each seed.

    Arithmetic is counted of the first model alone.
    """
    options = given.options
    conditions = QUICK if options.quick else conditions_of(options.conditions)
    seeds = range(given.seed, given.seed + (1 if options.quick else options.seeds))
    asked = [
        Question(condition, seed, given.pairs, is_counted=not options.quick and i == 0)
        for i, (condition, seed) in enumerate(product(conditions, seeds))
    ]
    finished = given.run.finished("models")
    left = [question for i, question in enumerate(asked) if str(i) not in finished]
    jobs = 1 if options.quick else options.jobs or os.cpu_count() or 1
    with processes(min(jobs, len(left))) as over:
        found = iter(over(partial(measured, given.texts), left))
        parts = [partial(next, found)] * len(asked)
        models = given.gathered("Ranking", ["models"], parts)["models"]
    summary = summarised(models)
    return Answer(models, summary, answered(summary))


def conditions_of(names: Sequence[str]) -> list[str]:
    """The conditions called `names`; all but the slow one where none is named."""
    for name in names:
        if name not in CONDITIONS:
            raise ValueError(f"no condition is called {name!r}; known are {', '.join(CONDITIONS)}")
    return list(names) or [name for name in CONDITIONS if name != SLOW]


@contextmanager
def processes(jobs: int) -> Iterator[Callable[..., Iterable]]:
    """A `map` over so many processes of one thread each; over 1, here."""
    if jobs <= 1:
        yield map
        return
    one_thread = partial(torch.set_num_threads, 1)
    with ProcessPoolExecutor(jobs, get_context("spawn"), one_thread) as pool:
        yield pool.map


def measured(texts: Collection, question: Question) -> dict[str, pd.DataFrame]:
    """How well every method ranks the parts of one planted model, and what it costs."""
    recipe = replace(CONDITIONS[question.condition], seed=question.seed)
    planted = plant(recipe)
    model = load(planted).double()
    axioms = Axioms(model, texts, recipe.seed, synonyms=SYNONYMS)
    contrast = (axioms.stmc1 if recipe.synonyms else axioms.tfc1)(question.n)
    rows = []
    largest: dict[str, float] = {}
    for task in tasks(planted, model):
        for method in methods_for(task.parts):
            found = discover(model, contrast, task.parts, method)
            numbers = found.numbers.double().numpy(force=True)
            # heads come first: what is small beside them is rounding in a neuron too
            largest[method.name] = max(largest.get(method.name, 0.0), float(numbers.max()))
            numbers = np.where(numbers < ROUNDING * largest[method.name], 0.0, numbers)
            again = partial(discover, model, contrast, task.parts, method)
            cost = forward_passes(again, model, contrast) if question.is_counted else np.nan
            rows.append(
                {
                    "condition": question.condition,
                    "seed": question.seed,
                    "kind": task.kind,
                    "method": method.name,
                    "parts": len(task.parts),
                    "members": int(task.is_member.sum()),
                    **{each.__name__: each(numbers, task.is_member) for each in MEASURES},
                    "seconds": found.seconds,
                    "forward_passes": cost,
                }
            )
    return {"models": pd.DataFrame(rows)}


def summarised(models: pd.DataFrame) -> pd.DataFrame:
    """The mean over models of a condition, with 95 % bootstrap intervals, and the cost."""
    rows = []
    groups: Any = models.groupby(["kind", "condition", "method"], sort=False)
    for (kind, condition, method), group in groups:
        rows.append(
            {
                "kind": kind,
                "condition": condition,
                "method": method,
                "models": len(group),
                **means_of({each.__name__: group[each.__name__] for each in MEASURES}),
                "seconds": group["seconds"].median(),
                "forward_passes": group["forward_passes"].mean(),  # of those where it was counted
                "parts": group["parts"].mean(),
            }
        )
    return pd.DataFrame(rows)


def answered(summary: pd.DataFrame) -> pd.DataFrame:
    """R-precision of each method in each condition, and its cost in the first."""
    first = summary.query(f"condition == {summary['condition'].iloc[0]!r}")
    table = summary.pivot(index=["kind", "method"], columns="condition", values="r_precision")
    table = table.loc[
        [*first[["kind", "method"]].itertuples(index=False, name=None)],
        [*summary["condition"].unique()],
    ]
    cost = first.set_index(["kind", "method"])[["forward_passes", "seconds"]]
    return table.join(cost).reset_index()


def draw(answer: Answer) -> dict[str, str]:
    """The heatmap of methods by conditions."""
    return {"heatmap.html": heatmap(answer.summary)}


if __name__ == "__main__":
    main(__spec__.name)
