"""Behind every threshold a negative: a model that reacts, and members that are not what they seem.

The planted model reacts to exact matches, so that no test stops at its first figure. Its circuit is
exchanged for heads that are something else, and the figure in question must say so.
"""

from copy import copy

import numpy as np
import pandas as pd
import pytest
from crosslens.circuits import bm25, contextual, document_frequency, matching, neurons, relevance
from crosslens.circuits.evidence import Evidence
from crosslens.circuits.figure import Figure

from crosslens import Circuit, head, Unit


def with_heads(evidence: Evidence, **roles: frozenset[Unit]) -> Evidence:
    """The same evidence, as if these heads had been traced."""
    other = copy(evidence)
    named = {name.replace("_", " "): units for name, units in roles.items()}
    other.__dict__["circuit"] = Circuit("exchanged", evidence.checkpoint, named, "made up")
    return other


def figure(figures: tuple[Figure, ...], begins: str) -> Figure:
    (found,) = [each for each in figures if each.name.startswith(begins)]
    return found


@pytest.fixture
def decoys(reference) -> frozenset[Unit]:
    """Heads that attend to matches, and write nothing."""
    return frozenset(head(*place) for place in reference.placement.decoy_heads)


@pytest.fixture
def idle(reference, decoys, evidence) -> frozenset[Unit]:
    """Heads that do nothing at all."""
    return frozenset(evidence.model.heads()) - reference.circuit.units - decoys


def test_heads_that_attend_to_matches_and_write_nothing_match_nothing(evidence, decoys):
    verdict = matching.detect(with_heads(evidence, matching=decoys))
    assert figure(verdict.figures, "rise of the score").holds
    assert figure(verdict.figures, "T1").holds, "attention alone is no proof"
    assert figure(verdict.figures, "share of an added match").holds is False
    assert verdict.holds is False


def test_heads_that_read_no_match_fail_before_they_are_patched(evidence, idle):
    verdict = matching.detect(with_heads(evidence, matching=frozenset(sorted(idle)[:2])))
    assert figure(verdict.figures, "T1").holds is False and verdict.holds is False


def test_heads_that_read_the_document_do_not_read_the_query(evidence, reference):
    roles = reference.circuit.roles["matching"]
    verdict = relevance.detect(with_heads(evidence, relevance_scoring=roles))
    assert figure(verdict.figures, "share of an added match").holds, "they do carry it"
    assert figure(verdict.figures, "share of what they write").holds is False
    assert figure(verdict.figures, "correlation of the scored token").holds is False


def test_a_scoring_head_is_no_head_that_passes_matches_within_the_query(evidence, reference):
    roles = {"contextual_query_representation": reference.circuit.roles["relevance scoring"]}
    verdict = contextual.detect(with_heads(evidence, **roles))
    assert figure(verdict.figures, "share of an added match").holds
    assert figure(verdict.figures, "attention of query tokens").holds is False


def test_heads_that_write_nothing_restore_nothing_alone(evidence, decoys):
    roles = {"matching": decoys, "relevance_scoring": decoys}
    verdict = bm25.detect(with_heads(evidence, **roles))
    alone = figure(verdict.figures, "share of the contrast")
    assert alone.holds is False and alone.value == pytest.approx(0, abs=0.01)


FORMULAS = pd.DataFrame(
    [
        {"formula": name, "pearson": r, "low": r - 0.02, "high": r + 0.02, "pairs": 80}
        for name, r in {
            "soft BM25": 0.8,
            "BM25, tuned": 0.75,
            "other heads": 0.3,
            "noise": 0.1,
        }.items()
    ]
).assign(split="by query", within_query=0.5, within_low=0.4, within_high=0.6, queries=10)


@pytest.mark.parametrize(
    ("formula", "r", "holds"),
    [
        ("noise", 0.1, [True, True]),
        ("soft BM25", 0.51, [False, False]),  # its interval reaches below the threshold
        ("other heads", 0.81, [False, True]),
        ("BM25, tuned", 0.85, [True, False]),
        ("BM25, tuned", 0.83, [True, True]),  # not surely better than the formula
    ],
)
def test_a_formula_is_held_against_its_controls(formula, r, holds):
    table = FORMULAS.copy()
    table.loc[table["formula"] == formula, ["pearson", "low", "high"]] = [r, r - 0.02, r + 0.02]
    decisive = [each.holds for each in bm25.fitting(table) if each.holds is not None]
    assert decisive == holds


@pytest.mark.parametrize(
    ("r", "chance", "holds"), [(0.4, 0.1, True), (0.29, 0.1, False), (0.4, 0.5, False)]
)
def test_idf_is_stored_where_the_correlation_is_large_and_beyond_chance(r, chance, holds):
    table = pd.DataFrame({"k": [0, 1], "chance": [chance, chance], "n": [100, 100]})
    assert document_frequency.stored(table, 1, r).holds is holds


@pytest.mark.parametrize(
    ("lost", "by_random", "holds"), [(0.5, 0.1, True), (0.5, 0.5, False), (0.06, 0.02, False)]
)
def test_neurons_count_by_what_is_lost_beyond_random_ones(lost, by_random, holds):
    noise = np.linspace(-0.005, 0.005, 12)
    table = pd.DataFrame({"qid": list("abcdefghijkl"), "lost": lost + noise})
    table = table.assign(lost_random=by_random, ndcg_lost=0.0, ndcg_lost_random=0.0)
    assert neurons.figures_of(table, 0)[0].holds is holds
