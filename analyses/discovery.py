"""Which discovery method finds a planted circuit, and at what cost?

Of each planted model (`planted_family`) every method ranks the heads, the neurons and the
edges, and the truth is known. R-precision is the share of true members among as many parts as
there are members: 1 if the method is right, the share of members among all parts by chance.

All is computed in float64, for a bystander does nothing but round: numbers below 1e-5 of
the method's largest count as equal, and an even share of equals as found. Arithmetic is
counted as so many forward passes over the pairs, in the first condition; seconds are medians.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from multiprocessing import get_context
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
import pandas as pd
import torch

from crosslens import (
    Axioms,
    Collection,
    discover,
    load,
    plant,
)
from crosslens.discovery import forward_passes, methods_for
from crosslens.stats import auroc, average_precision, bootstrap_interval, r_precision

from .heatmap import heatmap
from .planted_family import CONDITIONS, QUICK, SLOW, SYNONYMS, tasks
from .running import Given


ROUNDING: Final = 1e-5
MEASURES: Final = (r_precision, auroc, average_precision)


class Options(NamedTuple):
    model: None = None  # it plants its own
    pairs: int = 3
    seeds: Annotated[int, "Planted models of each condition."] = 3
    jobs: Annotated[int | None, "Processes; by default one for each core."] = None
    quick: Annotated[bool, "One tiny model, in this process, its arithmetic not counted."] = False
    conditions: Annotated[
        str, "Conditions by name, separated by commas; by default all but the slow '12 x 12'."
    ] = ""


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


def all_methods(
    texts: Collection,
    *,
    conditions: Sequence[str],
    seeds: Sequence[int],
    n: int,
    jobs: int,
    with_cost: bool = True,
) -> Answer:
    """Every method on every condition, over `n` pairs of a model for each seed.

    `with_cost` counts the arithmetic, of the first model alone.
    """
    first = (conditions[0], seeds[0])
    asked = [
        Question(condition, seed, n, is_counted=with_cost and (condition, seed) == first)
        for condition, seed in product(conditions, seeds)
    ]
    measure = partial(measured, texts)
    if jobs == 1:
        found = list(map(measure, asked))
    else:
        one_thread = partial(torch.set_num_threads, 1)  # a process for each core: no more threads
        with ProcessPoolExecutor(jobs, get_context("spawn"), one_thread) as pool:
            found = list(pool.map(measure, asked))
    models = pd.concat(found, ignore_index=True)
    summary = summarised(models)
    return Answer(models, summary, answered(summary))


def measured(texts: Collection, question: Question) -> pd.DataFrame:
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
    return pd.DataFrame(rows)


def summarised(models: pd.DataFrame) -> pd.DataFrame:
    """The mean over models of a condition, with 95 % bootstrap intervals, and the cost."""
    rows = []
    groups: Any = models.groupby(["kind", "condition", "method"], sort=False)
    for (kind, condition, method), group in groups:
        row = {"kind": kind, "condition": condition, "method": method, "models": len(group)}
        for measure in MEASURES:
            values = group[measure.__name__].to_numpy()
            interval = bootstrap_interval(values)
            row |= {
                measure.__name__: values.mean(),
                f"{measure.__name__}_low": float(interval.low),
                f"{measure.__name__}_high": float(interval.high),
            }
        row |= {
            "seconds": group["seconds"].median(),
            "forward_passes": group["forward_passes"].mean(),  # of those where it was counted
            "parts": group["parts"].mean(),
        }
        rows.append(row)
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


def analyse(given: Given) -> Answer:
    """Every method on every planted model that was asked for."""
    options = given.options
    conditions = QUICK if options.quick else conditions_of(options.conditions)
    return all_methods(
        given.texts,
        conditions=conditions,
        seeds=range(given.seed, given.seed + (1 if options.quick else options.seeds)),
        n=given.pairs,
        jobs=1 if options.quick else options.jobs or os.cpu_count() or 1,
        with_cost=not options.quick,
    )


def conditions_of(names: str) -> list[str]:
    """The conditions called `names`; all but the slow one where none is named."""
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    for name in chosen:
        if name not in CONDITIONS:
            raise LookupError(f"no condition is called {name!r}; known are {', '.join(CONDITIONS)}")
    return chosen or [name for name in CONDITIONS if name != SLOW]


def draw(answer: Answer) -> dict[str, str]:
    """The heatmap of methods by conditions."""
    return {"heatmap.html": heatmap(answer.summary)}
