"""Semantic BM25: soft term frequency, weighed and summed into a relevance score.

Claim.   Matching heads count soft matches (`matching`); later heads gather the counts among
         the query tokens (`contextual`); heads of a late layer let [CLS] add them up, weighed by
         rarity (`relevance`). The score is nearly a linear function of soft term frequency, IDF
         and their product.
Test.    Path patching of TFC1 and STMC1, from the score back (`crosslens.trace`), finds heads that
         write the score and heads that match; alone they restore more of the contrast than
         equally many random heads; and a formula in the matching heads' soft term frequency and
         IDF predicts the score of queries it was not fitted on, as formulas of other heads and of
         noise do not.
Source.  Lu, Chen & Eickhoff (2025), https://arxiv.org/abs/2502.04645. They report r = 0.82 for the
         formula, 0.42 for BM25.
"""

from typing import Final

import numpy as np
import pandas as pd

from crosslens import Circuit, Unit
from crosslens.faithfulness import Faithfulness, keep_nodes

from . import contextual, embedded, matching, relevance
from .claim import Claim, Known, Verdict
from .evidence import Evidence
from .figure import Figure, mean_of, measured
from .head_figures import found, heads_restore, mean_over_heads
from .thresholds import BELOW_BM25, FORMULA, RESTORED


NAME: Final = "bm25"
MINILM: Final = "cross-encoder/ms-marco-MiniLM-L-12-v2"
DRAWS: Final = 5  # circuits of random heads
ALONE: Final = f"above {RESTORED} and above as many random heads"
FITS: Final = "correlation of the formula with the score, on other queries"
FITTED: Final = f"above {FORMULA} and above other heads and noise"

SEMANTIC_BM25: Final = Circuit(
    name="semantic BM25",
    checkpoint=MINILM,
    roles={
        matching.ROLE: matching.KNOWN[MINILM],
        relevance.ROLE: relevance.CLAIM.known[MINILM].members,
    },
    source="https://arxiv.org/abs/2502.04645",
)


def detect(evidence: Evidence) -> Verdict:
    """Whether a chain of matching and scoring heads carries the score, as BM25 would."""
    figures = found(evidence, relevance.ROLE)
    if all(each.holds for each in figures):
        figures += found(evidence, matching.ROLE)[1:]  # the reaction is the same
    if not all(each.holds for each in figures):
        return Verdict.by(NAME, evidence.checkpoint, figures, pairs=figures[-1].n)
    tables = {"chain": evidence.chain.summary()}

    def alone() -> list[Figure]:
        kept = kept_alone(evidence)
        tables["alone"] = kept.frame()
        return restoring(kept, evidence.seed)

    def formula() -> list[Figure]:
        tables["formulas"] = evidence.formulas
        return fitting(evidence.formulas)

    figures += measured("share of the contrast that its heads restore alone", alone, expected=ALONE)
    figures += measured(FITS, formula, expected=FITTED)
    return Verdict.by(
        NAME,
        evidence.checkpoint,
        figures,
        members=frozenset(evidence.circuit.units),
        tables=tables,
        pairs=len(evidence.tfc1),
    )


def restoring(alone: Faithfulness, seed: int) -> list[Figure]:
    """What the circuit restores alone, and what all other heads do, beside random circuits."""
    circuit, others, *random = alone.restored.double().cpu().numpy()
    aside = mean_over_heads(np.array(random))  # here over circuits
    return [
        mean_of(
            f"share of the contrast that its {heads_restore(len(alone.circuits[0]))} alone",
            circuit,
            control=aside,
            expected=ALONE,
            holds=lambda low, high, control: low > max(RESTORED, control),
            seed=seed,
        ),
        mean_of("share that all other heads restore without it", others, seed=seed),
    ]


def fitting(formulas: pd.DataFrame) -> list[Figure]:
    """How well the formula predicts the score of other queries, beside its controls."""
    table = formulas[formulas["split"] == "by query"].set_index("formula")
    soft, tuned = table.loc["soft BM25"], float(table.loc["BM25, tuned", "pearson"])
    n = int(soft["pairs"])

    def beside(name: str) -> float:
        return float(table.loc[name, "pearson"]) if name in table.index else float("nan")

    controls = [beside(name) for name in ("other heads", "noise")]
    return [
        Figure(
            FITS,
            float(soft["pearson"]),
            float(soft["low"]),
            float(soft["high"]),
            control=float(np.nanmax(controls)),
            n=n,
            expected=FITTED,
            holds=bool(soft["low"] > FORMULA and soft["pearson"] > np.nanmax(controls)),
        ),
        Figure(
            "correlation of the formula with the score, beside BM25 with the best k1 and b",
            float(soft["pearson"]),
            float(soft["low"]),
            float(soft["high"]),
            control=tuned,
            n=n,
            expected=f"not surely below BM25 by {BELOW_BM25}",
            holds=bool(soft["high"] >= tuned - BELOW_BM25),
        ),
        Figure(
            "its mean correlation among the documents of a query",
            float(soft["within_query"]),
            float(soft["within_low"]),
            float(soft["within_high"]),
            control=float(table.loc["BM25, tuned", "within_query"]),
            n=int(soft["queries"]),
        ),
    ]


def random_circuits(units: list[Unit], n: int, draws: int, seed: int) -> list[frozenset[Unit]]:
    """Circuits of `n` random heads."""
    chance = np.random.default_rng(seed)
    return [
        frozenset(units[i] for i in chance.choice(len(units), n, replace=False))
        for _ in range(draws)
    ]


def kept_alone(evidence: Evidence) -> Faithfulness:
    """The circuit alone, all heads but the circuit, and as many random heads; MLPs stay."""
    every = evidence.model.heads()
    circuit = frozenset(unit for unit in evidence.circuit.units if unit in set(every))
    random = random_circuits(every, len(circuit), DRAWS, evidence.seed)
    listed = [circuit, frozenset(every) - circuit, *random]
    return keep_nodes(evidence.model, evidence.tfc1, listed, nodes=every)


CLAIM: Final = Claim(
    name=NAME,
    claim="Matching heads count soft matches, later heads gather them in the query, and heads of "
    "a late layer let [CLS] add them up by rarity: a semantic variant of BM25.",
    test="Path patching finds such a chain; alone it restores more of an added match than "
    "equally many random heads; and a linear formula in soft term frequency and IDF predicts the "
    "score.",
    source="Lu, Chen & Eickhoff (2025), https://arxiv.org/abs/2502.04645",
    known={
        MINILM: Known(
            SEMANTIC_BM25.units,
            "https://arxiv.org/abs/2502.04645",
            "matching heads and 10.1: authors' code; 10.4, 10.7, 10.10: read off one example",
        ),
        **embedded.known(matching.ROLE, contextual.ROLE, relevance.ROLE),
    },
    detect=detect,
)
