"""Few terms: a few words of a document decide its score.

Claim.   Most words of a document hardly change its score when they are deleted; a few change it
         much, and those are words of the query.
Test.    Every word of a document is deleted alone. The tenth of the words with the largest change
         of score, up or down, must have more of the sum of all changes than the tenth of as many
         numbers drawn from a normal distribution has, and query words must be more frequent among
         them than among all words.
Source.  Qiao, Xiong, Liu & Liu (2019), https://arxiv.org/abs/1904.07531, sections 4.2 and 4.3.
"""

from math import ceil
from typing import Any, Final

import numpy as np
import pandas as pd

from crosslens.signals import tokenize
from crosslens.words import leave_one_out

from .claim import Claim, Verdict
from .evidence import Evidence
from .figure import Figure, mean_of
from .head_figures import rise
from .thresholds import FEW, WORDS


NAME: Final = "few-terms"
MOST: Final = 6  # pairs: each costs a pass for every word
DRAWS: Final = 200  # of normal numbers


def detect(evidence: Evidence) -> Verdict:
    """Whether the first tenth of the words has the changes, and whether it is of the query."""
    reaction = rise(evidence)
    if not reaction.holds:
        return Verdict.by(NAME, evidence.checkpoint, [reaction], pairs=reaction.n)
    table = deletions(evidence)
    figures = [reaction, *figures_of(table, evidence.seed)]
    return Verdict.by(
        NAME, evidence.checkpoint, figures, tables={"words": table}, pairs=len(set(table["pair"]))
    )


def deletions(evidence: Evidence) -> pd.DataFrame:
    """One row per word of a document: pair, text, is_match, fall (of the score without it)."""
    pairs = evidence.tfc1.more.take(slice(MOST))
    evidence.watch("Deleting words", 0, 1)
    found = leave_one_out(evidence.model, pairs, among=pairs.where("document"))
    evidence.watch("Deleting words", 1, 1)
    words: Any = found.words()
    words = words[words["segment"] == "document"].rename(columns={"value": "fall"})
    terms = [set(tokenize(text)) for text in words["text"]]
    asked = [set(tokenize(query)) for query in pairs.query]
    is_match = [not asked[i].isdisjoint(own) for i, own in zip(words["pair"], terms, strict=True)]
    words["is_match"] = is_match
    return words.loc[list(map(bool, terms)), ["pair", "text", "is_match", "fall"]]


def figures_of(table: pd.DataFrame, seed: int) -> list[Figure]:
    """What the first tenth of the words of each document has, and how much of it is the query's.

    Documents of fewer than `WORDS` words, or that no word changes, do not count.
    """
    generator = np.random.default_rng(seed)
    rows: list[tuple[float, ...]] = []
    parts: Any = table.groupby("pair")
    for _, some in parts:
        size = some["fall"].abs().to_numpy(dtype=float)
        if len(size) < WORDS or not size.sum():
            rows.append((np.nan,) * 4)
            continue
        n, match = ceil(FEW * len(size)), some["is_match"].to_numpy(dtype=float)
        normal = np.sort(np.abs(generator.standard_normal((DRAWS, len(size)))), axis=1)
        by_chance = (normal[:, -n:].sum(axis=1) / normal.sum(axis=1)).mean()
        first = np.argsort(-size, kind="stable")[:n]
        rows.append((size[first].sum() / size.sum(), by_chance, match[first].mean(), match.mean()))
    share, normal, matched, all_words = np.array(rows).reshape(-1, 4).T
    return [
        mean_of(
            f"share of all changes that the first {FEW:.0%} of the words have",
            share,
            control=normal,
            expected="above that of normal numbers",
            holds=lambda low, high, control: low > control,
            seed=seed,
        ),
        mean_of(
            "share of query words among them",
            matched,
            control=all_words,
            expected="above that among all words",
            holds=lambda low, high, control: low > control,
            seed=seed,
        ),
    ]


CLAIM: Final = Claim(
    name=NAME,
    claim="A few words of a document decide its score, and they are words of the query.",
    test="When each word is deleted alone, the tenth that changes the score most has more of all "
    "changes than among normal numbers, and more words of the query than the document has.",
    source="Qiao, Xiong, Liu & Liu (2019), https://arxiv.org/abs/1904.07531",
    known={},  # the paper's own models are not published, and it names no member
    detect=detect,
)
