"""What do rankings lose without the relevance neurons, beyond what they lose without others?

Every scheme of neurons is set to 0 at every token while the candidates of each query are ranked:
its relevant documents among BM25's best others. nDCG@10 per query is compared with the whole
model's (paired two-sided t-test), and with the mean of random sets, as many in each layer. The
schemes come from the pairs of other queries. P-values are adjusted over the table.
Vast et al. (2024), RQ3 and Table 4.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, NamedTuple

import numpy as np

from crosslens import Collection, NotMeasurable, Pairs
from crosslens.frames import Column, Frame, pd
from crosslens.neurons import (
    ablation_row,
    controls,
    gain_by_query,
    over_collections,
    relevant_and_bm25,
    Scheme,
    scheme_sets,
    silenced_scores,
    with_false_discoveries,
)

from .neuron_flows import enough, facts_of, flows, for_attribution, omissions, pairs_of, shares
from .option_types import Baseline, ClassTarget, SharesOfNeurons, Steps, Threshold, Tokens
from .running import Given, main
from .samples import only, slices


IS_SPLIT = True


class Options(NamedTuple):
    collection: list[str] = ["embedded"]  # noqa: RUF012
    pairs: int = 12
    shares: SharesOfNeurons = "0.1, 1"
    queries: Annotated[int, "Of each collection, at most."] = 12
    relevant: Annotated[int, "Relevant documents of a query, at most; 0: all."] = 2
    others: Annotated[int, "Other documents of a query, BM25's best; published: 20."] = 6
    controls: Annotated[int, "Random sets for each scheme; published: 50."] = 1
    ranked_only: Annotated[
        str, "Collections whose pairs choose no neurons, by name, separated by commas."
    ] = ""
    baseline: Baseline = "padding"
    target: ClassTarget = "probability"
    steps: Steps = 20
    threshold: Threshold = 0.0
    tokens: Tokens = 96


@dataclass(frozen=True)
class Answer:
    """Pairs used; omissions; nDCG@10 per query; Table 4 by collection; and over collections."""

    pairs: Frame  # collection, class, drawn, agreeing, error
    omitted: Frame  # what, why
    queries: Frame  # collection, scheme, share, qid, whole, silenced, control
    ablation: Frame  # collection, scheme, class, of, share, neurons, and as `ablation_row`
    schemes: Frame  # scheme, class, of, share, and as `over_collections`


AT_ONCE = 16  # pairs
CELLS = 120  # sets of neurons in one part of the table


class Silenced(NamedTuple):
    """A set of neurons: the scheme that it is of, and which draw, −1 for the scheme itself."""

    scheme: Scheme
    of: str
    share: float
    draw: int


def analyse(given: Given) -> Answer:
    """All schemes and their controls, over the rankings of every collection."""
    if given.options.controls < 1:
        raise ValueError("an ablation needs one random set at least for each scheme")
    apart = ranked_only(given)
    found = flows(given, but=apart)
    chosen, omitted = enough(shares(given.options.shares), found.flows[0].neurons)
    sets, missing = silenced_sets(given, found.flows, chosen)
    ranked: dict[str, Collection | str] = {}  # by name; or why there are no rankings
    for texts in given.collections:
        try:
            ranked[texts.name] = candidates(given, texts, texts.name in apart)
        except NotMeasurable as error:
            ranked[texts.name] = str(error)
    able = {name: each for name, each in ranked.items() if isinstance(each, Collection)}
    every = dict(zip(able, gains_of(given, [*able.values()], sets), strict=True))
    rows, queries = [], []
    for texts in given.collections:
        if texts.name not in every:
            missing.append({"what": f"rankings of {texts.name}", "why": str(ranked[texts.name])})
            continue
        gains = every[texts.name]
        if not gains[("", 0.0, -1)].mean() > 0:
            missing.append({"what": f"rankings of {texts.name}", "why": "nDCG@10 is 0 as it is"})
            continue
        for each in [one for one in sets if one.draw < 0]:
            table = cell_of(gains, each)
            row = ablation_row(
                table["whole"].to_numpy(),
                table["silenced"].to_numpy(),
                np.stack([gains[each.of, each.share, i] for i in range(given.options.controls)]),
                seed=given.seed,
            )
            facts = {
                "collection": texts.name,
                **facts_of(each.of, each.share, found.flows[0]),
            }
            rows.append({**facts, "neurons": len(each.scheme), **row})
            queries.append(table.assign(**facts))
    if not rows:
        raise NotMeasurable(
            "no ranking to silence neurons in: "
            + "; ".join(f"{each['what']}: {each['why']}" for each in missing)
        )
    ablation = with_false_discoveries(pd.DataFrame(rows), ("p", "p_beyond"))
    return Answer(
        found.pairs,
        omissions(missing, omitted, found.omitted),
        pd.concat(queries, ignore_index=True),
        ablation,
        over_collections(ablation, ("scheme", "class", "of", "share")),
    )


def silenced_sets(
    given: Given, found: Sequence, chosen: Sequence[float]
) -> tuple[list[Silenced], list[dict[str, str]]]:
    """Every scheme with its random sets, saved in the run; and the schemes there are none of."""
    sets, missing = [], []
    for share in chosen:
        every = scheme_sets(found, share)
        missing += [
            {"what": f"{name} at {share:.4%}", "why": why} for name, why in every.omitted.items()
        ]
        for place, (name, scheme) in enumerate(every.schemes.items()):
            scheme.save(given.run.folder / "schemes" / f"{100 * share:g}-{place}")
            if not len(scheme):
                missing.append(
                    {"what": f"{name} at {share:.4%}", "why": "the schemes share no neuron"}
                )
                continue
            drawn = controls(scheme, given.options.controls, given.seed)
            sets += [
                Silenced(each, name, share, draw) for draw, each in enumerate([scheme, *drawn], -1)
            ]
    if not sets:
        raise NotMeasurable("no scheme has a neuron: nothing can be silenced")
    return sets, missing


def ranked_only(given: Given) -> list[str]:
    """The collections whose pairs choose no neurons.

    Raises:
        LookupError: there is none of that name.
    """
    known = [each.name for each in given.collections]
    asked = [name.strip() for name in given.options.ranked_only.split(",") if name.strip()]
    for name in asked:
        if name not in known:
            raise LookupError(f"no collection is called {name!r}; there are {', '.join(known)}")
    return asked


def candidates(given: Given, texts: Collection, is_apart: bool) -> Collection:
    """The rankings of queries whose pairs played no part in the attribution.

    Raises:
        NotMeasurable: fewer than two such queries have a relevant document and another.
    """
    options = given.options
    ranked = relevant_and_bm25(
        texts, options.others, relevant=options.relevant or None, seed=given.seed
    )
    held_out = sorted(
        qid for qid in ranked.candidates if is_apart or not for_attribution(qid, given.seed)
    )
    order = np.random.default_rng(given.seed).permutation(len(held_out))[: options.queries]
    if len(order) < 2:
        raise NotMeasurable(f"{len(order)} queries with a relevant document are left, two needed")
    return only(ranked, [held_out[i] for i in order])


Gains = dict[tuple[str, float, int], Column]


def gains_of(
    given: Given, collections: Sequence[Collection], sets: Sequence[Silenced]
) -> list[Gains]:
    """nDCG@10 of each query of each collection under every set of neurons; under ("", 0, −1), of
    the whole model.
    """
    whole = Scheme("none", sets[0].scheme.neurons, np.zeros_like(sets[0].scheme.chosen))
    every = [Silenced(whole, "", 0.0, -1), *sets]
    rankings = [Rankings.of(given, ranked, every) for ranked in collections]
    computes = {key: compute for each in rankings for key, compute in each.computes(given).items()}
    # those of all collections at once, so that processes need not wait between them
    by_key = given.parts("rankings without neurons", "silenced", computes)
    return [each.gains(by_key) for each in rankings]


class Rankings(NamedTuple):
    """The rankings of a collection under sets of neurons, in parts: some pairs under some sets."""

    texts: Collection
    rows: Frame  # qid, docid
    pairs: Pairs
    every: Sequence[Silenced]
    steps: Mapping[str, tuple[list[int], slice]]  # by key: the pairs and the sets of a part

    @classmethod
    def of(cls, given: Given, ranked: Collection, every: Sequence[Silenced]) -> "Rankings":
        rows = pd.DataFrame(
            [(qid, docid) for qid, docs in ranked.candidates.items() for docid in docs],
            columns=["qid", "docid"],
        )
        pairs = pairs_of(given.model, ranked, rows, given.options.tokens)
        batches = [group for _, group in pairs.like_lengths(at_once=AT_ONCE)]
        steps = {
            f"{ranked.digest[:12]}-{batch}-{group}": (batches[batch], cells)
            for batch in range(len(batches))
            for group, cells in enumerate(slices(len(every), CELLS))
        }
        return cls(ranked, rows, pairs, every, steps)

    def computes(self, given: Given) -> dict[str, Callable[[], Frame]]:
        """What scores each part: one row per pair, one column per set."""

        def silenced(batch: list[int], cells: slice) -> Frame:
            schemes = [each.scheme for each in self.every[cells]]
            found = silenced_scores(given.model, self.pairs.take(batch), schemes)
            return pd.DataFrame(found.T, columns=[str(i) for i in range(len(found))])

        return {key: partial(silenced, *step) for key, step in self.steps.items()}

    def gains(self, parts: Mapping[str, Frame]) -> Gains:
        """nDCG@10 of each query, from the scores of all parts."""
        scores = np.empty((len(self.every), len(self.rows)))
        for key, (batch, cells) in self.steps.items():
            scores[cells, batch] = parts[key].to_numpy().T
        return {
            (each.of, each.share, each.draw): gain_by_query(self.rows, some, self.texts)
            for each, some in zip(self.every, scores, strict=True)
        }


def cell_of(gains: Gains, each: Silenced) -> Frame:
    """The gain of each query: as it is, without the scheme, without random neurons on average."""
    whole = gains["", 0.0, -1]
    drawn = [value for key, value in gains.items() if key[:2] == (each.of, each.share)]
    return pd.DataFrame(
        {
            "qid": list(whole.index),
            "whole": whole.to_numpy(),
            "silenced": gains[each.of, each.share, -1].to_numpy(),
            "control": np.mean([some.to_numpy() for some in drawn[1:]], axis=0),
        }
    )


if __name__ == "__main__":
    main(__spec__.name)
