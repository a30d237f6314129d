"""Relevance neurons: few neurons carry what separates relevant from other documents.

Claim.   Ranked by conductance, a small share of the outputs of a model's linear maps carries
         relevance: without them the model separates relevant from other documents less well than
         without as many others.
Test.    Neurons are ranked by their mean flow in relevant pairs, less that in other pairs of the
         same queries. The top 1 % are set to 0 at every token, on queries that played no part in
         the ranking; the share of the score gap that goes with them stands beside that of random
         neurons, as many in each layer.
Source.  Vast, Van Cooten, Soulier & Piwowarski (2024), https://arxiv.org/abs/2406.19309: their
         fused scheme. They name no neuron; what they report are effects on nDCG@10.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from ir_measures import ScoredDoc
from jaxtyping import Float

from crosslens import Run
from crosslens.attribution import padding_baseline
from crosslens.effectiveness import evaluate
from crosslens.neurons import neuron_flow, Scheme, silence

from .claim import Claim, Known, Verdict
from .evidence import Evidence
from .figure import Figure, mean_of
from .judged import Judged
from .scores import score
from .thresholds import LOST


NAME: Final = "neurons"
SHARE: Final = 0.01  # of all neurons
STEPS: Final = 8  # points on the path of the conductance; see `NeuronFlow.error`
DRAWS: Final = 6  # sets of random neurons


def detect(evidence: Evidence) -> Verdict:
    """Whether the top neurons take more of the score gap with them than others do."""
    judged = Judged.of(evidence.collection, 2 * evidence.n, evidence.seed)
    first, second = judged.split(len(judged.qids) // 4)  # a ranking needs fewer than a test does
    pairs = second.pairs(evidence)
    whole = score(evidence.model, pairs)
    gap_there = mean_of(
        "score of relevant documents above that of others",
        gap(second.rows, whole),
        expected="above 0",
        holds=lambda low, high, control: low > 0,
        seed=evidence.seed,
    )
    if not gap_there.holds:
        return Verdict.by(NAME, evidence.checkpoint, [gap_there], pairs=len(pairs))

    top = ranked(evidence, first.extremes)
    generator = np.random.default_rng(evidence.seed)
    sets = [top, *(top.random(generator) for _ in range(DRAWS))]
    scores = [whole]
    for done, each in enumerate(sets):
        evidence.watch("Silencing neurons", done, len(sets))
        with evidence.model.hooked(*silence(each)):
            scores.append(score(evidence.model, pairs))
    evidence.watch("Silencing neurons", len(sets), len(sets))
    table = lost(second, scores)
    figures = [gap_there, *figures_of(table, evidence.seed)]
    holds = all(each.holds is not False for each in figures)
    return Verdict.by(
        NAME,
        evidence.checkpoint,
        figures,
        members=frozenset(top.units) if holds else frozenset(),
        tables={NAME: table},
        pairs=len(pairs),
    )


def ranked(evidence: Evidence, judged: Judged) -> Scheme:
    """The neurons with the largest mean flow in relevant pairs, less that in the others.

    P and N fused, as Vast et al. (2024) do.
    """
    evidence.watch("Conductance of neurons", 0, 1)
    pairs = judged.pairs(evidence)
    baseline = padding_baseline(evidence.model, pairs)
    flow = neuron_flow(evidence.model, pairs, baseline, steps=STEPS)
    evidence.watch("Conductance of neurons", 1, 1)
    is_relevant = judged.rows["is_relevant"].to_numpy()
    more = flow.mean(is_relevant, "relevant") - flow.mean(~is_relevant, "other")
    return Scheme.top(f"top {SHARE:.0%}", flow.neurons, more, SHARE)


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
            expected=f"above {LOST}",
            holds=lambda low, high, control: low > LOST,
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
    claim="A small share of neurons, found by conductance, carries what separates relevant from "
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
