"""Is the score a linear function of soft term frequency and IDF?

    python -m crosslens.analyses.linear_bm25 --model embedded --collection trec-dl-2019 wikiqa \\
        --queries 40 --documents 20 --out runs/linear_bm25

A formula in the soft term frequency of the matching heads, IDF and their product is fitted to the
scores, beside its controls and beside BM25 with tuned k1 and b, each told for pairs left out: by
pair as the paper splits, and by query. With `--tokens 5` queries are cut to so many tokens and
every place has coefficients of its own, as in the paper. Then the documents are ranked by the
formula. The heads are those named, or those that restore a TFC1 contrast at the query's tokens.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from crosslens import (
    Axioms,
    Collection,
    collection,
    Contrast,
    CrossEncoder,
    heads,
    load,
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

from .rarity import add_options, rarity, stored
from .running import begin, options, save


RANKED = ("soft BM25", "true IDF", "BM25", "BM25, tuned")


@dataclass(frozen=True)
class Findings:
    """One row per collection, formula and split; the formulas; and how they rank."""

    fits: pd.DataFrame  # collection, formula, split, columns, pearson, low, high, within_query...
    formulas: pd.DataFrame  # collection, formula, written
    rankings: pd.DataFrame  # collection, formula, figure, mean, low, high, n


def trace(
    model: CrossEncoder,
    asked: Collection,
    matching: Sequence[Unit],
    idf: TokenIdf,
    *,
    n_tokens: int | None = None,
    keep: Callable[..., pd.DataFrame] = lambda _, compute: compute(),
    seed: int = 0,
) -> Findings:
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
    return Findings(fits, pd.DataFrame(written), named(rankings, "formula"))


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


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", help="the matching heads, as in '5.9 7.9'")
    parser.add_argument("--most-heads", type=int, default=13, help="of those found, at most")
    parser.add_argument("--queries", type=int, default=40, help="of each collection, at most")
    parser.add_argument("--documents", type=int, default=20, help="of each query, at most")
    parser.add_argument("--tokens", type=int, help="cut queries to so many, a column for each")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    add_options(parser)
    given = options(parser, argv, several=True)
    model = load(given.model)
    run = begin(given, __file__, resume=given.resume)
    found: dict[str, Findings] = {}
    matching = sorted(heads(given.heads)) if given.heads else []
    for name in given.collection:
        whole = collection(name)
        if not matching:
            contrast = Axioms(model, whole, seed=given.seed).tfc1(given.pairs)
            matching = found_by_patching(model, contrast, given.most_heads)
            run.note(matching=[str(head) for head in matching])
        found[whole.name] = trace(
            model,
            whole.sample(given.queries, given.documents, given.seed),
            matching,
            rarity(given, model, whole),
            n_tokens=given.tokens,
            keep=partial(run.chunk, f"observed-{whole.name}"),
            seed=given.seed,
        )
    save(
        given,
        __file__,
        {
            kind: named({name: getattr(each, kind) for name, each in found.items()}, "collection")
            for kind in ("formulas", "rankings", "fits")
        },
        findings=run,
    )


if __name__ == "__main__":
    main()
