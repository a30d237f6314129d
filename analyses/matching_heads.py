"""Do heads that carry a match count what is alike in meaning, with saturation and for length?

The heads that restore one more exact match at the query's tokens (TFC1, patched exactly) are set
beside all others: how much more they read of a document with one more match, exact or soft; how
their attention goes with the similarity of embeddings; and what each further occurrence, and each
further sentence of another text, adds to what the query's term reads of the document.
Lu et al. (2025), section 4.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from crosslens import Axioms, Contrast, NotMeasurable, Pairs
from crosslens.attention import attention_similarity, soft_tf_gain, soft_tf_of_term
from crosslens.frames import Frame, pd

from .heads_at_query import restored_at_query, strongest
from .means import mean_row
from .running import Given, main


class Options(NamedTuple):
    most_heads: Annotated[int, "Matching heads, at most."] = 13


MEASURES: Final = ("one more exact match", "one more soft match", "similarity")
MATCHING, OTHERS = "matching heads", "other heads"


@dataclass(frozen=True)
class Answer:
    """The heads; means over them and over the others; and curves of the matching heads."""

    groups: Frame  # measure, group, mean, low, high, n (pairs)
    curves: Frame  # signal (occurrences, sentences), level, group, mean, low, high, n
    heads: Frame  # head, layer, effect, q, is_matching, and a column for each measure


def analyse(given: Given) -> Answer:
    """Every measure of every head, and its mean over both groups by pair."""
    model, axioms = given.model, Axioms(given.model, given.texts, seed=given.seed)
    exact = axioms.tfc1(given.pairs)
    heads = given.keep("heads", "all", partial(patched, given, exact))
    is_matching = chosen(heads, given.options.most_heads)
    values: dict[str, Float[np.ndarray, "head pair"]] = {}
    values[MEASURES[0]] = soft_tf_gain(model, exact)
    values[MEASURES[2]] = attention_similarity(model, exact.more, centre=True).numpy(force=True)
    try:
        values[MEASURES[1]] = soft_tf_gain(model, axioms.stmc1(given.pairs))
    except NotMeasurable as error:
        given.run.note(no_soft_match=str(error))
    heads = heads.rename(columns={"mean": "effect"}).assign(is_matching=is_matching)
    for name, each in values.items():
        heads[name] = [np.nanmean(row) if np.isfinite(row).any() else np.nan for row in each]
    return Answer(grouped(values, is_matching), curves(given, axioms, is_matching), heads)


def patched(given: Given, contrast: Contrast) -> Frame:
    """What each head restores of one more exact match at the query's tokens."""
    units = given.model.heads()
    restored = restored_at_query(given.model, contrast, seed=given.seed)
    index = [dict(unit.coordinates)["head"] for unit in units]
    restored["head"] = [f"{layer}.{i}" for layer, i in zip(restored["layer"], index, strict=True)]
    return restored[["head", "layer", "mean", "q"]]


def chosen(heads: Frame, most: int) -> Bool[np.ndarray, " head"]:
    """Which heads are matching heads."""
    best = strongest(heads, most)
    if not best:
        raise NotMeasurable("no head restores an exact match at the tokens of the text that reads")
    found = np.zeros(len(heads), dtype=bool)
    found[best] = True
    return found


def grouped(
    values: Mapping[str, Float[np.ndarray, "head pair"]], is_matching: Bool[np.ndarray, " head"]
) -> Frame:
    """Means over the heads of a group, pair by pair, with intervals over pairs."""
    rows = []
    for measure, each in values.items():
        for group, members in ((MATCHING, is_matching), (OTHERS, ~is_matching)):
            rows.append({"measure": measure, "group": group, **over_pairs(each[members])})
    return pd.DataFrame(rows)


def curves(given: Given, axioms: Axioms, is_matching: Bool[np.ndarray, " head"]) -> Frame:
    """What the query's term reads of the document, with more occurrences and more sentences."""

    def occurrences(n: int) -> tuple[Pairs, ...]:
        series = axioms.saturation(n)
        return (series[0].base, *(contrast.more for contrast in series))

    rows = []
    for signal, build in (("occurrences", occurrences), ("sentences", axioms.lengthened)):
        try:
            levels = build(given.pairs)
        except NotMeasurable as error:
            given.run.note(**{f"no_{signal}": str(error)})
            continue
        for level, pairs in enumerate(levels):
            read = soft_tf_of_term(given.model, pairs)
            for group, members in ((MATCHING, is_matching), (OTHERS, ~is_matching)):
                row = {"signal": signal, "level": level, "group": group}
                rows.append({**row, **over_pairs(read[members])})
    return pd.DataFrame(rows)


def over_pairs(values: Float[np.ndarray, "head pair"]) -> dict[str, float]:
    """The mean over heads and pairs, with an interval over pairs."""
    there = np.isfinite(values)
    counted = there.any(axis=0)
    by_pair = np.nansum(values[:, counted], axis=0) / there[:, counted].sum(axis=0)
    if not len(by_pair):
        return {"mean": np.nan, "low": np.nan, "high": np.nan, "n": 0}
    return mean_row(by_pair)


if __name__ == "__main__":
    main(__spec__.name)
