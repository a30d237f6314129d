"""Which discovery method finds a planted circuit, and at what cost?

    python -m crosslens.analyses.discovery --out runs/discovery

Of each planted model (`planted_family`) every method ranks the heads, the neurons and the
edges, and the truth is known. R-precision is the share of true members among as many parts as
there are members: 1 if the method is right, the share of members among all parts by chance.

All is computed in float64, for a bystander does nothing but round: numbers below 1e-5 of
the method's largest count as equal, and an even share of equals as found. Arithmetic is
counted as so many forward passes over the pairs, in the first condition; seconds are medians.
"""

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from multiprocessing import get_context
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import torch

from crosslens import (
    Axioms,
    Collection,
    collection,
    discover,
    load,
    plant,
)
from crosslens.discovery import forward_passes, methods_for
from crosslens.stats import auroc, average_precision, bootstrap_interval, r_precision

from .heatmap import heatmap
from .planted_family import CONDITIONS, QUICK, SLOW, SYNONYMS, tasks
from .running import options, save


ROUNDING: Final = 1e-5
MEASURES: Final = (r_precision, auroc, average_precision)


@dataclass(frozen=True)
class Findings:
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


def trace(
    texts: Collection,
    *,
    conditions: Sequence[str],
    seeds: Sequence[int],
    n: int,
    jobs: int,
    with_cost: bool = True,
) -> Findings:
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
    return Findings(models, summary, answered(summary))


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


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="planted models of each condition")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--quick", action="store_true", help="one tiny model, here, no cost")
    parser.add_argument(
        "--conditions",
        nargs="+",
        choices=CONDITIONS,
        default=[name for name in CONDITIONS if name != SLOW],
        help=f"by default all but {SLOW!r}",
        metavar="NAME",
    )
    given = options(parser, argv, model=None, pairs=3)
    findings = trace(
        collection(given.collection),
        conditions=QUICK if given.quick else given.conditions,
        seeds=range(given.seed, given.seed + (1 if given.quick else given.seeds)),
        n=given.pairs,
        jobs=1 if given.quick else given.jobs,
        with_cost=not given.quick,
    )
    tables = {name: getattr(findings, name) for name in ("models", "summary", "answer")}
    save(given, __file__, tables, pages={"heatmap.html": heatmap(findings.summary)})


if __name__ == "__main__":
    main()
