"""Which tokens of a ranking's passages are important, and would they be enough?

Every candidate of a query gets the attribution of the bottleneck. By rank: how many token types
query and document share among the important tokens (and among all), and where in the document
the important ones stand. Then all passages are cut to their most important share and ranked
anew. Jiang et al. (2021), Fig. 2, 8 and 9.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, NamedTuple

import numpy as np

from crosslens.frames import Column, Frame, pd
from crosslens.stats import spearman
from crosslens.words import cut_to, important_tokens, scores_of, shared_types

from .means import mean_row, means_by
from .option_types import Beta, Important, Layer, NoiseLike
from .passed import Passing
from .running import Given, main
from .samples import pairs_of, ranked


IS_SPLIT = True


class Options(NamedTuple):
    pairs: int = 80
    depth: Annotated[int, "How many passages of each ranking."] = 10
    layer: Layer = -1
    noise: NoiseLike = "dataset"
    beta: Beta = "auto"
    important: Important = 20


@dataclass(frozen=True)
class Answer:
    """By passage, by rank, by share kept; and how overlap goes with rank."""

    passages: Frame  # qid, docid, rank, important, all_tokens, mean_position
    by_rank: Frame  # rank, tokens, overlap or position, low, high, n
    kept: Frame  # parts, share, mrr, low, high, n
    correlation: Frame  # tokens, spearman, low, high, n, reason (why there is none)


SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)


def analyse(given: Given) -> Answer:
    """One query after the other: attributions of its candidates, and what follows from them."""
    options = given.options
    n = max(1, given.pairs // options.depth)
    ranking = ranked(given, n, options.depth)
    passing = Passing(given)

    def of_query(rows: Frame) -> Frame:
        pairs = pairs_of(given, rows)
        found = passing(pairs)
        chosen = important_tokens(found, options.important)
        inside = pairs.where("document")
        place = inside.long().cumsum(dim=1)
        positions = [
            float(place[i][chosen[i] & inside[i]].double().mean()) for i in range(len(pairs))
        ]
        table = rows.assign(
            important=shared_types(found, chosen),
            all_tokens=shared_types(found, pairs.where("query", "document")),
            mean_position=positions,
        )
        for share in SHARES[1:]:
            for parts in (("query", "document"), ("document",)):
                cut = cut_to(found, share, parts=parts)
                name = f"{'+'.join(parts)} {share}"
                table[name] = scores_of(given.model, cut).double().numpy(force=True)
        return table

    passages = given.parts(
        "attributing and cutting",
        "passages",
        {str(q): partial(of_query, rows) for q, rows in ranking.groupby("qid", sort=False)},
    )
    kept = pd.concat([_reciprocal_ranks(part) for part in passages.values()])
    kept = kept.sort_values(["parts", "share"])
    whole = pd.concat(passages.values(), ignore_index=True)
    columns = ["qid", "docid", "rank", "important", "all_tokens", "mean_position"]
    return Answer(
        whole[columns],
        _by_rank(whole, given.seed),
        means_by(kept, ["parts", "share"], "rr", "mrr", seed=given.seed),
        _correlation(whole, given.seed),
    )


def _reciprocal_ranks(passages: Frame) -> Frame:
    """1 over the rank of the first relevant passage, by parts and share kept."""

    def of(scores: Column) -> float:
        order = scores.sort_values(ascending=False, kind="stable").index
        relevant = passages.loc[order, "is_relevant"].to_numpy()
        return 1 / (1 + relevant.argmax()) if relevant.any() else 0.0

    rows = []
    for parts in ("query+document", "document"):
        for share in SHARES:
            column = "score" if share == 1 else f"{parts} {share}"
            rows.append({"parts": parts, "share": share, "rr": of(passages[column])})
    return pd.DataFrame(rows)


def _by_rank(passages: Frame, seed: int) -> Frame:
    """The mean over queries at each rank."""
    rows = []
    for tokens in ("important", "all_tokens", "mean_position"):
        for rank, some in passages.groupby("rank"):
            if len(values := some[tokens].dropna()):
                rows.append({"rank": rank, "tokens": tokens, **mean_row(values, seed=seed)})
    return pd.DataFrame(rows)


def _correlation(passages: Frame, seed: int) -> Frame:
    """Spearman's correlation of rank with the mean at that rank; queries are drawn again."""
    draw = np.random.default_rng(seed)
    rows = []
    for tokens in ("important", "all_tokens", "mean_position"):
        table = passages.pivot(index="qid", columns="rank", values=tokens)

        def correlation(some: Frame) -> float:
            means = some.mean().dropna()
            if means.nunique() < 2:
                return np.nan  # no order to compare with
            return spearman(means.index.to_numpy(dtype=float), means.to_numpy(dtype=float))

        if np.isnan(whole := correlation(table)):
            reason = "the means at all ranks are alike, or of fewer than two ranks"
            rows.append({"tokens": tokens, "n": len(table), "reason": reason})
            continue
        again = [
            correlation(table.iloc[draw.integers(len(table), size=len(table))]) for _ in range(500)
        ]
        low, high = np.nanquantile(again, [0.025, 0.975])
        rows.append(
            {
                "tokens": tokens,
                "spearman": whole,
                "low": float(low),
                "high": float(high),
                "n": len(table),
                "reason": "",
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main(__spec__.name)
