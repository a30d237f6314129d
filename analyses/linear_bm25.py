"""Is the score a linear function of soft term frequency and IDF?

A formula in the soft term frequency of the matching heads, IDF and their product is fitted to the
scores, beside its controls and beside BM25 with tuned k1 and b, each told for pairs left out: by
pair as the paper splits, and by query. With `--tokens 5` queries are cut to so many tokens and
every place has coefficients of its own, as in the paper. Then the documents are ranked by the
formula. The heads are those named, or those that restore a TFC1 contrast at the query's tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd

from crosslens import (
    Axioms,
    Collection,
    Contrast,
    CrossEncoder,
    heads,
    patching,
    Unit,
)
from crosslens.idf import TokenIdf
from crosslens.surrogate import (
    by_place,
    compare_formulas,
    fit_formula,
    formulas_of,
    observe_candidates,
    ranking_agreement,
    ridge,
    shared,
)

from .rarity import rarity, stored
from .running import Given


RANKED = ("soft BM25", "true IDF", "BM25", "BM25, tuned")


class Options(NamedTuple):
    collection: list[str] = ["embedded"]
    pairs: int = 24
    heads: Annotated[str, "The matching heads, as in '5.9 7.9'; by default they are found."] = ""
    most_heads: Annotated[int, "Of those found, at most."] = 13
    queries: Annotated[int, "Of each collection, at most."] = 40
    documents: Annotated[int, "Of each query, at most."] = 20
    tokens: Annotated[int | None, "Cut queries to so many, a column for each."] = None
    df: Annotated[
        Path | None,
        "JSON of document frequencies by word piece, may be gzipped; by default they "
        "are counted in the collection.",
    ] = None
    df_documents: Annotated[int | None, "How many documents --df was counted in."] = None


@dataclass(frozen=True)
class Answer:
    """By collection and formula: the formulas; how they rank; and, by split, how they fit."""

    formulas: pd.DataFrame  # collection, formula, written
    rankings: pd.DataFrame  # collection, formula, figure, mean, low, high, n
    fits: pd.DataFrame  # collection, formula, split, columns, pearson, low, high, within_query...


def fitted(
    model: CrossEncoder,
    asked: Collection,
    matching: Sequence[Unit],
    idf: TokenIdf,
    *,
    n_tokens: int | None = None,
    keep: Callable[..., pd.DataFrame] = lambda _, compute: compute(),
    seed: int = 0,
) -> Answer:
    """Every formula over the candidates of one collection."""
    observed = observe_candidates(model, asked, model.heads(), n_tokens=n_tokens, keep=keep)
    layout, estimator = (shared, None) if n_tokens is None else (by_place, ridge())
    known = observed, matching, stored(model, idf).values, idf.filled()
    fits = compare_formulas(*known, layout=layout, estimator=estimator, seed=seed)
    formulas = formulas_of(*known, layout=layout, seed=seed)
    chosen = {
        name: fit_formula(formulas[name][0], observed, estimator=estimator) for name in RANKED
    }
    rankings = {name: ranking_agreement(fit, observed, asked) for name, fit in chosen.items()}
    written = [{"formula": name, "written": fit.formula} for name, fit in chosen.items()]
    return Answer(pd.DataFrame(written), named(rankings, "formula"), fits)


def found_by_patching(model: CrossEncoder, contrast: Contrast, most: int) -> list[Unit]:
    """Up to `most` heads whose output at the query tokens restores one more occurrence.

    A head that reads the document at a query token writes there; heads that score write at
    [CLS]. Only effects of at least 1 % count, with a false discovery rate of at most 5 %.
    """
    units = [head.site.at(pos="query", **dict(head.coordinates)) for head in model.heads()]
    summary = patching(model, contrast, units).summary()
    mean, q = summary["mean"].to_numpy(), summary["q"].to_numpy()
    best = [i for i in np.argsort(-mean) if mean[i] > 0.01 and q[i] < 0.05][:most]
    if not best:
        raise LookupError(
            f"no head of {model} restores {contrast} at the query tokens: name some with --heads"
        )
    return [model.heads()[i] for i in best]


def named(tables: Mapping[str, pd.DataFrame], column: str) -> pd.DataFrame:
    """The tables one below another, each row with the name of its table first."""
    parts = []
    for name, table in tables.items():
        part = table.copy()
        part.insert(0, column, name)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def analyse(given: Given) -> Answer:
    """Every formula on every collection; the heads are found on the first."""
    options, model = given.options, given.model
    matching = sorted(heads(options.heads)) if options.heads else []
    found: dict[str, Answer] = {}
    for whole in given.collections:
        if not matching:
            contrast = Axioms(model, whole, seed=given.seed).tfc1(given.pairs)
            matching = found_by_patching(model, contrast, options.most_heads)
            given.run.note(matching=[str(head) for head in matching])
        found[whole.name] = fitted(
            model,
            whole.sample(options.queries, options.documents, given.seed),
            matching,
            rarity(options, model, whole),
            n_tokens=options.tokens,
            keep=partial(given.keep, f"observed-{whole.name}"),
            seed=given.seed,
        )
    tables = {
        kind: named({name: getattr(each, kind) for name, each in found.items()}, "collection")
        for kind in ("formulas", "rankings", "fits")
    }
    return Answer(**tables)
