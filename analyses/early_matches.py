"""Does a query's word that stands early in a passage lift it?

The matched-token MRR of a passage is the mean of 1 / position over its tokens that equal a token
of the query. It is compared between non-relevant passages that the model ranks above the best
relevant one and that relevant one; and between the first passages of the model and of BM25.
Jiang et al. (2021), appendix E.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np

from crosslens import Pairs
from crosslens.frames import Frame, pd
from crosslens.signals import Bm25Index

from .means import paired_row
from .running import Given, main
from .samples import pairs_of, rankings


class Options(NamedTuple):
    pairs: int = 480
    depth: Annotated[int, "How many passages of each ranking are compared, at most."] = 50
    occurrence: Annotated[
        Literal["every", "first"], "Which occurrences of a repeated token count."
    ] = "every"


@dataclass(frozen=True)
class Answer:
    """By passage; and the comparisons."""

    passages: Frame  # qid, docid, rank, score, is_relevant, is_bm25s_first, matched, shared
    comparisons: Frame  # comparison, a, b, above, difference, low, high, p, n


def analyse(given: Given) -> Answer:
    """The matched-token MRR of the passages of so many rankings."""
    index = Bm25Index(given.texts.documents)
    found, n = [], 0
    for ranking in rankings(given):
        if n >= given.pairs:
            break
        n += len(ranking)
        query = given.texts.queries[ranking["qid"].iloc[0]]
        best = int(np.argmax(index.scores(query, list(ranking["docid"]))))
        ranking = ranking.assign(is_bm25s_first=np.arange(len(ranking)) == best)
        found.append(ranking[(ranking["rank"] <= given.options.depth) | ranking["is_bm25s_first"]])
    ranking = pd.concat(found, ignore_index=True)
    pairs = pairs_of(given, ranking)
    passages = ranking.assign(
        matched=matched_token_mrr(pairs, given.options.occurrence), shared=shared(pairs)
    )
    return Answer(passages, _comparisons(passages, given.options.depth, given.seed))


def matched_token_mrr(pairs: Pairs, occurrence: str = "every") -> list[float]:
    """The mean of 1 / position, from 1, over document tokens that the query has; nan for none."""
    query, document = pairs.where("query"), pairs.where("document")
    found = []
    for i in range(len(pairs)):
        asked = set(pairs.token[i, query[i]].tolist())
        seen: set[int] = set()
        values = []
        for position, token in enumerate(pairs.token[i, document[i]].tolist(), start=1):
            if token in asked and not (occurrence == "first" and token in seen):
                values.append(1 / position)
            seen.add(token)
        found.append(float(np.mean(values)) if values else float("nan"))
    return found


def shared(pairs: Pairs) -> list[float]:
    """Jaccard's coefficient of the token types of query and document."""
    found = []
    for i in range(len(pairs)):
        query, document = (
            set(pairs.token[i, pairs.where(part)[i]].tolist()) for part in ("query", "document")
        )
        found.append(len(query & document) / len(query | document))
    return found


def _comparisons(passages: Frame, depth: int, seed: int) -> Frame:
    """Means and their difference; a passage without a match counts as 0."""
    above: dict[str, list[tuple[float, float]]] = {"max": [], "mean": []}
    first: dict[str, list[tuple[float, float]]] = {"matched": [], "shared": []}
    for _, rows in passages.groupby("qid"):
        good = rows[rows["is_relevant"] & (rows["rank"] <= depth)]
        if len(good) and (best := good["rank"].min()) > 1:
            above_it = rows[(rows["rank"] < best) & ~rows["is_relevant"]]
            higher = above_it["matched"].fillna(0)
            own = float(good.loc[good["rank"].idxmin(), "matched"])
            own = 0.0 if np.isnan(own) else own
            above["max"].append((float(higher.max()), own))
            above["mean"].append((float(higher.mean()), own))
        model, bm25 = rows.loc[rows["rank"].idxmin()], rows[rows["is_bm25s_first"]].iloc[0]
        if model["docid"] != bm25["docid"] and model["is_relevant"]:
            for column, values in first.items():
                values.append(tuple(np.nan_to_num([model[column], bm25[column]]).tolist()))
    rows = [
        _row(f"higher non-relevant ({name}) against relevant", values, seed)
        for name, values in above.items()
    ]
    names = {"matched": "matched-token MRR", "shared": "Jaccard of token types"}
    rows += [
        _row(f"{names[column]}: the model's first against BM25's", values, seed)
        for column, values in first.items()
    ]
    return pd.DataFrame(rows)


def _row(name: str, values: list[tuple[float, float]], seed: int) -> dict[str, object]:
    """How `a` and `b` compare; without a p-value where fewer than two queries allow it."""
    if not values:
        return {"comparison": name, "n": 0, "reason": "no query of this kind"}
    a, b = np.array(values).T
    return {
        "comparison": name,
        "n": len(a),
        "reason": "",
        "a": a.mean(),
        "b": b.mean(),
        "above": float((a > b).mean()),
        **paired_row(a, b, seed),
    }


if __name__ == "__main__":
    main(__spec__.name)
