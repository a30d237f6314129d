"""Which discovery method finds a planted circuit, and at what cost?

    python -m crosslens.analyses.discovery --out runs/discovery

Planted models differ in what makes a circuit hard to find; of each, every method ranks the
heads, the neurons and the edges, and the truth is known. R-precision is the share of true
members among as many parts as there are members: 1 if the method is right. A method that ranks
by nothing but chance has the share of members among all parts.

What counts as true:
- heads: all that compute BM25. The contrast moves each of them.
- neurons: the length neuron. An aligned contrast never moves length, so this asks what a method
  makes of a part that the score needs and the signal does not touch. The switch of a backup
  never fires in these pairs; it counts neither as a member nor as a stranger.
- edges: those that carry the match: from the words to a matching head's keys, and on from every
  head. Other planted edges (segments, length, IDF) say the same on both sides of a contrast,
  and count neither way. A switch that stays off hides the edges from the heads it listens to.

Numbers below a thousandth of the largest are rounding, and count as equal.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Bool

from crosslens import (
    auroc,
    average_precision,
    Axioms,
    bootstrap_interval,
    Circuit,
    Collection,
    collection,
    CrossEncoder,
    discover,
    Edge,
    forward_passes,
    Graph,
    load,
    methods_for,
    neuron,
    plant,
    Planted,
    r_precision,
    Recipe,
    Site,
    Unit,
)

from .heatmap import heatmap
from .running import options, save


SYNONYMS: Final[Mapping[str, str]] = MappingProxyType(
    dict(
        pair.split("/")
        for pair in """
        bank/lender pay/wages stone/rock definition/meaning purchase/buy sea/ocean fast/rapid
        car/automobile cost/price symptoms/signs
        """.split()
    )
)
ROUNDING: Final = 1e-3
MEASURES: Final = (r_precision, auroc, average_precision)


# two heads that attend to matches and write nothing, two that write where nobody reads; and no
# part is idle
PLAIN: Final = Recipe(layers=6, decoys=2, talkers=2, fakes=6, busy=True)
CONDITIONS: Final[Mapping[str, Recipe]] = MappingProxyType(
    {
        "plain": PLAIN,
        "small": replace(PLAIN, layers=4),
        "large": replace(PLAIN, layers=8, heads=8),
        "many decoys": replace(PLAIN, decoys=6, talkers=6, fakes=12),
        "shared": replace(PLAIN, matchers=3),
        "suppressed": replace(PLAIN, suppressor=True),
        "contextual": replace(PLAIN, contextual=True),
        "backup": replace(PLAIN, backup=True),
        "synonyms": replace(PLAIN, synonyms=tuple(SYNONYMS.items())),
        "normalised": replace(PLAIN, normalised=True),
        "all at once": replace(
            PLAIN, layers=8, contextual=True, backup=True, suppressor=True, matchers=2
        ),
    }
)
QUICK: Final = ("plain", "backup")
COUNTING: Final = frozenset({"matching", "backup matching", "suppression"})  # by their keys


@dataclass(frozen=True)
class Findings:
    """One row per model, kind of part and method; means with intervals; and the answer."""

    models: pd.DataFrame
    summary: pd.DataFrame
    answer: pd.DataFrame  # R-precision: methods by conditions, and the cost


@dataclass(frozen=True)
class Task:
    """Parts to rank, and which of them are members."""

    kind: str
    parts: Sequence[Unit | Edge]
    is_member: Bool[np.ndarray, " part"]


def trace(
    texts: Collection, *, conditions: Sequence[str], seeds: Sequence[int], n: int
) -> Findings:
    """Every method on every condition, over `n` pairs of a model for each seed."""
    rows = [
        {"condition": name, "seed": seed, **row}
        for name, seed in product(conditions, seeds)
        for row in measured(
            replace(CONDITIONS[name], seed=seed), texts, n, is_counted=seed == seeds[0]
        )
    ]
    models = pd.DataFrame(rows)
    summary = summarised(models)
    return Findings(models, summary, answered(summary))


def measured(recipe: Recipe, texts: Collection, n: int, *, is_counted: bool) -> list[dict]:
    """How well every method ranks the parts of one planted model, and what it costs."""
    planted = plant(recipe)
    model = load(planted)
    axioms = Axioms(model, texts, recipe.seed, synonyms=SYNONYMS)
    contrast = axioms.stmc1(n) if recipe.synonyms else axioms.tfc1(n)
    few = contrast.take(slice(2))
    rows: list[dict] = []
    largest: dict[str, float] = {}
    for task in tasks(planted, model):
        for method in methods_for(task.parts):
            found = discover(model, contrast, task.parts, method)
            numbers = found.numbers.double().numpy()
            # heads come first: what is small beside them is rounding in a neuron too
            largest[method.name] = max(largest.get(method.name, 0.0), numbers.max())
            numbers[numbers < ROUNDING * largest[method.name]] = 0.0
            again = partial(discover, model, few, task.parts, method)
            rows.append(
                {
                    "kind": task.kind,
                    "method": method.name,
                    "parts": len(task.parts),
                    "members": int(task.is_member.sum()),
                    **{each.__name__: each(numbers, task.is_member) for each in MEASURES},
                    "seconds": found.seconds,
                    "forward_passes": forward_passes(again, model, few) if is_counted else np.nan,
                }
            )
    return rows


def tasks(planted: Planted, model: CrossEncoder) -> Iterator[Task]:
    """What there is to rank in a planted model: heads, neurons, edges."""
    circuit, recipe = planted.circuit, planted.recipe
    heads = model.heads()
    yield Task("heads", heads, np.array([unit in circuit for unit in heads]))

    silent = circuit.roles.get("backup switch", frozenset())
    every = [neuron(*at) for at in product(range(recipe.layers), range(recipe.neurons))]
    neurons = [unit for unit in every if unit not in silent]
    yield Task("neurons", neurons, np.array([unit in circuit for unit in neurons]))

    graph = Graph.of(model)
    carrying = graph.mask(edge for edge in circuit.edges if carries_the_match(edge, circuit))
    other = graph.mask(circuit.edges) & ~carrying
    rows = zip(graph.edges, carrying[graph.exists], other[graph.exists], strict=True)
    counted = [(edge, bool(is_member)) for edge, is_member, is_other in rows if not is_other]
    yield Task("edges", [edge for edge, _ in counted], np.array([is_in for _, is_in in counted]))


def carries_the_match(edge: Edge, circuit: Circuit) -> bool:
    """Whether a planted edge leaves a head, or leads from the words to a matching head's keys."""
    sender, receiver = edge
    whole = (
        Site("z", receiver.site.layer).at(**dict(receiver.coordinates))
        if (receiver.site.name == "k")
        else None
    )
    counts = {role for role, units in circuit.roles.items() if whole in units}
    is_key = sender.site.name == "embed" and not counts.isdisjoint(COUNTING)
    return sender.site.name == "z" or is_key


def summarised(models: pd.DataFrame) -> pd.DataFrame:
    """The mean over models of a condition, with 95 % bootstrap intervals, and the cost."""
    rows = []
    for (kind, condition, method), group in models.groupby(
        ["kind", "condition", "method"], sort=False
    ):
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
            "forward_passes": group["forward_passes"].mean(),
            "parts": group["parts"].mean(),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def answered(summary: pd.DataFrame) -> pd.DataFrame:
    """R-precision of each method in each condition, and its cost in the first."""
    first = summary[summary["condition"] == summary["condition"].iloc[0]]
    table = summary.pivot(index=["kind", "method"], columns="condition", values="r_precision")
    table = table.loc[
        [*first[["kind", "method"]].itertuples(index=False, name=None)],
        [*summary["condition"].unique()],
    ]
    cost = first.set_index(["kind", "method"])[["forward_passes", "seconds"]]
    return table.join(cost).reset_index()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="planted models of each condition")
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}; one seed")
    given = options(parser, argv, model=None, pairs=6)
    findings = trace(
        collection(given.collection),
        conditions=QUICK if given.quick else list(CONDITIONS),
        seeds=range(given.seed, given.seed + (1 if given.quick else given.seeds)),
        n=given.pairs,
    )
    tables = {name: getattr(findings, name) for name in ("models", "summary", "answer")}
    save(given, __name__, tables, {"heatmap.html": heatmap(findings.summary)})


if __name__ == "__main__":
    main()
