"""Relevance neurons: few neurons carry what tells relevant from other documents.

Claim.   Ranked by conductance, a small share of the outputs of a model's linear maps carries
         relevance: without them the model tells relevant from other documents less well than
         without as many others.
Test.    Neurons are ranked by their mean flow in relevant pairs, less that in other pairs of the
         same queries. The top 1 % are set to 0 at every token, on queries that played no part in
         the ranking; the share of the score gap that goes with them stands beside that of random
         neurons, as many in each layer.
Source.  Vast, Van Cooten, Soulier & Piwowarski (2024), https://arxiv.org/abs/2406.19309: their
         fused scheme. They name no neuron; what they report are effects on nDCG@10.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from ir_measures import ScoredDoc
from jaxtyping import Bool, Float
from torch import Tensor

from crosslens import (
    Collection,
    conductance,
    Hook,
    Pairs,
    Run,
    Site,
    Unit,
)
from crosslens.attribution import Flow, padding_baseline
from crosslens.effectiveness import evaluate

from .claim import Claim, Figure, Known, mean_of, Verdict
from .evidence import Evidence, FEWEST, score


NAME: Final = "neurons"
SHARE: Final = 0.01  # of all neurons
STEPS: Final = 8  # points on the path of the conductance; see `Flow.error`
DRAWS: Final = 6  # sets of random neurons
EACH: Final = 2  # documents of the highest and of the lowest grade of a query
LEAST: Final = 0.05  # of the score gap: a smaller loss beyond the control's is none


@dataclass(frozen=True, eq=False)
class Neurons:
    """The neurons of a model, the outputs of its linear maps, each with its flow."""

    flow: pd.DataFrame  # layer, and flow: one row per neuron, in the order of `sites`
    sites: dict[Site, tuple[int, ...]]  # the shape of one token's values

    @classmethod
    def of(cls, flow: Flow, is_relevant: Bool[Tensor, " pair"]) -> "Neurons":
        """Mean flow in relevant pairs, less that in the others (vast2024, P ⊕ N)."""
        rows = []
        for site, values in flow.sites.items():
            more = values[is_relevant].mean(dim=0) - values[~is_relevant].mean(dim=0)
            rows.append(pd.DataFrame({"layer": site.layer, "flow": more.flatten().cpu().numpy()}))
        shapes = {site: tuple(values.shape[1:]) for site, values in flow.sites.items()}
        return cls(pd.concat(rows, ignore_index=True), shapes)

    def top(self, share: float) -> Bool[np.ndarray, " neuron"]:
        """The neurons with the largest flow."""
        n = max(1, round(share * len(self.flow)))
        chosen = np.zeros(len(self.flow), dtype=bool)
        chosen[np.argsort(-self.flow["flow"].to_numpy(), kind="stable")[:n]] = True
        return chosen

    def like(
        self, chosen: Bool[np.ndarray, " neuron"], generator: np.random.Generator
    ) -> Bool[np.ndarray, " neuron"]:
        """As many random neurons in each layer, none of them chosen."""
        layer = self.flow["layer"].to_numpy()
        drawn = np.zeros_like(chosen)
        for each in np.unique(layer):
            free = np.flatnonzero((layer == each) & ~chosen)
            n = min(int((chosen & (layer == each)).sum()), len(free))
            drawn[generator.choice(free, n, replace=False)] = True
        return drawn

    def without(self, chosen: Bool[np.ndarray, " neuron"]) -> list[Hook]:
        """Hooks that set the chosen neurons to 0 at every token."""
        hooks = []
        for site, mask in self._masks(chosen):
            if mask.any():
                kept = torch.as_tensor(~mask)
                hooks.append(Hook(site.at(), lambda x, kept=kept: x * kept.to(x)))
        return hooks

    def units(self, chosen: Bool[np.ndarray, " neuron"]) -> frozenset[Unit]:
        """The chosen neurons by name: `3.q[d_head=7,head=1]`, `3.mlp_pre[neuron=12]`."""
        return frozenset(
            site.at(**dict(zip(site.axes[2:], map(int, place), strict=True)))
            for site, mask in self._masks(chosen)
            for place in np.argwhere(mask)
        )

    def _masks(self, chosen: Bool[np.ndarray, " neuron"]) -> Iterable[tuple[Site, np.ndarray]]:
        sizes = [int(np.prod(shape)) for shape in self.sites.values()]
        parts = np.split(chosen, np.cumsum(sizes)[:-1])
        for (site, shape), part in zip(self.sites.items(), parts, strict=True):
            yield site, part.reshape(shape)


@dataclass(frozen=True, eq=False)
class Judged:
    """Queries with documents of their highest and of their lowest grade."""

    collection: Collection  # its candidates are the documents drawn
    qids: tuple[str, ...]

    @classmethod
    def of(cls, collection: Collection, n: int, seed: int) -> "Judged":
        """At most `n` queries that have documents of two grades, by seed.

        Raises:
            ValueError: too few have; says how many.
        """
        if not collection.qrels:
            raise ValueError(f"collection {collection.name!r} has no judgements")
        generator = np.random.default_rng(seed)
        drawn = {}
        for qid in sorted(collection.candidates):
            graded = grades(collection, qid)
            best, worst = max(graded.values(), default=0), min(graded.values(), default=0)
            if best > worst:
                ends = ([d for d, g in graded.items() if g == end] for end in (best, worst))
                drawn[qid] = tuple(
                    docids[i] for docids in ends for i in generator.permutation(len(docids))[:EACH]
                )
        if len(drawn) < 2 * FEWEST:
            raise ValueError(
                f"collection {collection.name!r} has {len(drawn)} queries with documents of two "
                f"grades; {2 * FEWEST} are needed"
            )
        qids = [list(drawn)[i] for i in generator.permutation(len(drawn))[:n]]
        return cls(replace(collection, candidates=drawn), tuple(qids))

    def split(self, at: int) -> tuple["Judged", "Judged"]:
        """The first `at` queries, and the rest."""
        one, other = (replace(self, qids=part) for part in (self.qids[:at], self.qids[at:]))
        return one, other

    @property
    def extremes(self) -> "Judged":
        """One document of each grade per query: a flow costs much more than a score."""
        ends = {
            qid: (self.collection.candidates[qid][0], self.collection.candidates[qid][-1])
            for qid in self.qids
        }
        return replace(self, collection=replace(self.collection, candidates=ends))

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One row per query and document."""
        rows = []
        for qid in self.qids:
            graded = grades(self.collection, qid)
            rows += [(qid, docid, grade == max(graded.values())) for docid, grade in graded.items()]
        return pd.DataFrame(rows, columns=["qid", "docid", "is_relevant"])

    def pairs(self, evidence: Evidence) -> Pairs:
        """The pairs of `rows`, as the model reads them."""
        texts = self.collection
        return evidence.read(
            [texts.queries[qid] for qid in self.rows["qid"]],
            [texts.documents[docid] for docid in self.rows["docid"]],
        )


def grades(collection: Collection, qid: str) -> dict[str, int]:
    """The label of each of a query's candidates; what is not judged counts as 0."""
    labels = collection.labels.get(qid, {})
    return {docid: labels.get(docid, 0) for docid in collection.candidates[qid]}


def detect(evidence: Evidence) -> Verdict:
    """Whether the top neurons take more of the score gap with them than others do."""
    judged = Judged.of(evidence.collection, 2 * evidence.n, evidence.seed)
    first, second = judged.split(len(judged.qids) // 4)  # a ranking needs fewer than a test does
    pairs = second.pairs(evidence)
    whole = score(evidence.model, pairs)
    tells = mean_of(
        "score of relevant documents above that of others",
        gap(second.rows, whole),
        expected="above 0",
        holds=lambda low, high, control: low > 0,
        seed=evidence.seed,
    )
    if not tells.holds:
        return Verdict.by(NAME, evidence.checkpoint, [tells])

    neurons = ranked(evidence, first.extremes)
    chosen = neurons.top(SHARE)
    generator = np.random.default_rng(evidence.seed)
    sets = [chosen, *(neurons.like(chosen, generator) for _ in range(DRAWS))]
    scores = [whole]
    for done, each in enumerate(sets):
        evidence.watch("Silencing neurons", done, len(sets))
        with evidence.model.hooked(*neurons.without(each)):
            scores.append(score(evidence.model, pairs))
    evidence.watch("Silencing neurons", len(sets), len(sets))
    table = lost(second, scores)
    figures = [tells, *figures_of(table, evidence.seed)]
    found = Verdict.by(NAME, evidence.checkpoint, figures, tables={NAME: table})
    return replace(found, members=neurons.units(chosen)) if found.holds else found


def ranked(evidence: Evidence, judged: Judged) -> Neurons:
    """The neurons of the model with their flow on these queries."""
    evidence.watch("Conductance of neurons", 0, 1)
    pairs = judged.pairs(evidence)
    pad: Any = evidence.model.tokens.tokenizer.pad_token_id
    baseline = padding_baseline(evidence.model, pairs, pad_id=int(pad or 0))
    flow = conductance(evidence.model, pairs, baseline, steps=STEPS)
    evidence.watch("Conductance of neurons", 1, 1)
    return Neurons.of(flow, torch.tensor(judged.rows["is_relevant"].tolist()))


def lost(judged: Judged, scores: Sequence[Float[np.ndarray, " pair"]]) -> pd.DataFrame:
    """What goes with the top neurons and with random ones: one row per query.

    `scores` are those of the whole model, without the top neurons, and of every random draw. The
    gap is lost in shares of its mean over queries.
    """
    gaps = np.array([gap(judged.rows, each) for each in scores])
    ndcg = np.array([ndcg_of(judged, each) for each in scores])
    share = (gaps[0] - gaps[1:]) / gaps[0].mean()
    return pd.DataFrame(
        {
            "qid": list(judged.qids),
            "gap": gaps[0],
            "lost": share[0],
            "lost_random": share[1:].mean(axis=0),
            "ndcg": ndcg[0],
            "ndcg_lost": ndcg[0] - ndcg[1],
            "ndcg_lost_random": ndcg[0] - ndcg[2:].mean(axis=0),
        }
    )


def figures_of(table: pd.DataFrame, seed: int) -> list[Figure]:
    """The share of the gap that is lost, beside random neurons, and what that does to rankings."""
    column = {name: table[name].to_numpy(dtype=float) for name in table.columns[1:]}
    return [
        mean_of(
            f"share of the score gap lost with the top {SHARE:.0%} of neurons, beyond random ones",
            column["lost"] - column["lost_random"],
            control=column["lost_random"],
            expected=f"above {LEAST}",
            holds=lambda low, high, control: low > LEAST,
            seed=seed,
        ),
        mean_of("nDCG@10 lost", column["ndcg_lost"], control=column["ndcg_lost_random"], seed=seed),
    ]


def gap(rows: pd.DataFrame, scores: Float[np.ndarray, " pair"]) -> Float[np.ndarray, " query"]:
    """How far a query's relevant documents score above its others, in the mean."""
    table: Any = rows.assign(score=scores)
    means = table.groupby(["qid", "is_relevant"], sort=False)["score"].mean().unstack()
    return (means[True] - means[False]).reindex(rows["qid"].unique()).to_numpy()


def ndcg_of(judged: Judged, scores: Float[np.ndarray, " pair"]) -> Float[np.ndarray, " query"]:
    """nDCG@10 of the judged queries, ranked by these scores."""
    run = Run.of(
        ScoredDoc(qid, docid, float(value))
        for qid, docid, value in zip(judged.rows["qid"], judged.rows["docid"], scores, strict=True)
    )
    values = evaluate(run, judged.collection)
    return values[values.columns[0]].reindex(list(judged.qids)).to_numpy()


CLAIM: Final = Claim(
    name=NAME,
    claim="A small share of neurons, found by conductance, carries what tells relevant from "
    "other documents.",
    test=f"Zeroing the top {SHARE:.0%} on other queries takes more of the score gap away than "
    "zeroing as many random neurons of the same layers.",
    source="Vast, Van Cooten, Soulier & Piwowarski (2024), https://arxiv.org/abs/2406.19309",
    known={
        "castorini/monobert-large-msmarco": Known(
            frozenset(),
            "https://arxiv.org/abs/2406.19309",
            "the paper names no neuron",
        )
    },
    detect=detect,
)
