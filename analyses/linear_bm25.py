"""Is the score a linear function of soft term frequency and IDF?

A formula in the soft term frequency of the matching heads, IDF and their product is fitted to the
scores, beside its controls and beside BM25 with tuned k1 and b, each predicted for pairs left out:
by pair as the paper splits, and by query. With `--query-tokens 5` queries are cut to so many
tokens and every place has coefficients of its own, as in the paper. Then the documents are ranked
by the formula. The heads are those named, or those that restore a TFC1 contrast at the query's
tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, NamedTuple

import pandas as pd

from crosslens import Axioms, Collection, heads, NotMeasurable, Unit
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

from .heads_at_query import restored_at_query, strongest
from .option_types import FrequencyDocuments, FrequencyFile
from .rarity import rarity, stored
from .running import Given, main


RANKED = ("soft BM25", "true IDF", "BM25", "BM25, tuned")


class Options(NamedTuple):
    """Which heads, and how many texts."""

    collection: list[str] = ["embedded"]  # noqa: RUF012
    heads: Annotated[str, "The matching heads, as in '5.9 7.9'. Default: found by patching."] = ""
    most_heads: Annotated[int, "Of those found, at most."] = 13
    queries: Annotated[int, "Of each collection, at most."] = 40
    documents: Annotated[int, "Of each query, at most."] = 20
    query_tokens: Annotated[int | None, "Cut queries to so many, a column for each."] = None
    df: FrequencyFile = None
    df_documents: FrequencyDocuments = None


@dataclass(frozen=True)
class Answer:
    """The formulas; how they rank; and one row per collection, formula and split."""

    formulas: pd.DataFrame  # collection, formula, written
    rankings: pd.DataFrame  # collection, formula, figure, mean, low, high, n
    fits: pd.DataFrame  # collection, formula, split, columns, pearson, low, high, within_query...


def analyse(given: Given) -> Answer:
    """Every formula over the candidates of each collection, for one set of matching heads."""
    matching = sorted(heads(given.options.heads)) or found_by_patching(given)
    found = {texts.name: formulas(given, texts, matching) for texts in given.collections}
    return Answer(
        *(
            named({name: getattr(each, kind) for name, each in found.items()}, "collection")
            for kind in ("formulas", "rankings", "fits")
        )
    )


def formulas(given: Given, whole: Collection, matching: Sequence[Unit]) -> Answer:
    """Every formula over the candidates of one collection."""
    model, options, seed = given.model, given.options, given.seed
    asked, n_tokens = whole.sample(options.queries, options.documents, seed), options.query_tokens
    keep = partial(given.keep, f"observed-{whole.digest[:16]}")
    observed = observe_candidates(model, asked, model.heads(), n_tokens=n_tokens, keep=keep)
    layout, estimator = (shared, None) if n_tokens is None else (by_place, ridge())
    idf = rarity(options, model, whole)
    known = observed, matching, stored(model, idf).values, idf.filled()
    fits = compare_formulas(*known, layout=layout, estimator=estimator, seed=seed)
    every = formulas_of(*known, layout=layout, seed=seed)
    chosen = {name: fit_formula(every[name][0], observed, estimator=estimator) for name in RANKED}
    rankings = {name: ranking_agreement(fit, observed, asked) for name, fit in chosen.items()}
    written = [{"formula": name, "written": fit.formula} for name, fit in chosen.items()]
    return Answer(pd.DataFrame(written), named(rankings, "formula"), fits)


def found_by_patching(given: Given) -> list[Unit]:
    """The heads whose output at the query tokens restores one more occurrence, at most so many."""
    model, most = given.model, given.options.most_heads
    contrast = Axioms(model, given.collections[0], seed=given.seed).tfc1(given.pairs)
    best = strongest(
        given.keep("patched", "all", partial(restored_at_query, model, contrast)), most
    )
    if not best:
        raise NotMeasurable(
            f"no head of {model} restores {contrast} at the query tokens: name some with --heads"
        )
    found = [model.heads()[i] for i in best]
    given.run.note(matching=[str(head) for head in found])
    return found


def named(tables: Mapping[str, pd.DataFrame], column: str) -> pd.DataFrame:
    """The tables one below another, each row with the name of its table first."""
    parts = []
    for name, table in tables.items():
        part = table.copy()
        part.insert(0, column, name)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


if __name__ == "__main__":
    main(__spec__.name)
