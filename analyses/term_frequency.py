"""Does the score grow with term frequency, and does it saturate as BM25 says it should?

A query term is put into 1 to 5 of five places of a document that hold filler otherwise
(TFC2). The score should rise with each occurrence, by less each time. BM25 over the same
words stands beside the model.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from crosslens import Axioms, Contrast, CrossEncoder
from crosslens.batching import scores_of
from crosslens.signals import bm25, Frequencies, tokenize
from crosslens.stats import bootstrap_interval

from .running import Given, main


IS_SPLIT = True


@dataclass(frozen=True)
class Answer:
    """One row per pair and number of occurrences, and one per further occurrence."""

    pairs: pd.DataFrame  # qid, docid, term, occurrences, score, bm25
    steps: pd.DataFrame  # system, occurrences, then the mean gain of that step with its interval


def analyse(given: Given) -> Answer:
    """The scores of pairs with 0 to 5 occurrences of their selected term."""
    axioms = Axioms(given.model, given.texts, seed=given.seed)
    series = axioms.saturation(given.pairs)
    parts = [(series[0], 0), *zip(series, range(1, len(series) + 1), strict=True)]
    scored = partial(scores, given.model, axioms.frequencies)
    pairs = given.table("Scoring", "pairs", lambda part: scored(*part), parts)
    return Answer(pairs, steps(pairs))


def scores(
    model: CrossEncoder, frequencies: Frequencies, contrast: Contrast, occurrences: int
) -> pd.DataFrame:
    """The model's and BM25's score of every pair with so many occurrences."""
    pairs = contrast.more if occurrences else contrast.base
    found = scores_of(model, pairs).tolist()
    rows = [
        {
            "qid": minimal.qid,
            "docid": minimal.docid,
            "term": minimal.term,
            "occurrences": occurrences,
            "score": score,
            "bm25": bm25(tokenize(minimal.query), tokenize(text), frequencies),
        }
        for minimal, score, text in zip(contrast.minimal, found, pairs.document, strict=True)
    ]
    return pd.DataFrame(rows)


def steps(pairs: pd.DataFrame) -> pd.DataFrame:
    """What each further occurrence adds, on average, with a 95 % bootstrap interval."""
    rows = []
    for system in ("score", "bm25"):
        table = pairs.pivot(index=["qid", "docid"], columns="occurrences", values=system)
        gains = np.diff(table.to_numpy(), axis=1).T
        interval = bootstrap_interval(gains)
        for step, gain in enumerate(gains):
            low, high = interval.low[step], interval.high[step]
            rows.append((system, step + 1, gain.mean(), low, high, len(gain)))
    return pd.DataFrame(rows, columns=["system", "occurrences", "gain", "low", "high", "n"])


if __name__ == "__main__":
    main(__spec__.name)
