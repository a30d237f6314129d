"""Periods: planted heads that attend to them, of which some write nothing."""

import pytest
from crosslens.circuits.periods import figures_of, with_a_period

from crosslens import Hook, NotMeasurable, Site
from crosslens.probing import with_periods


def attending(layer: int, head: int, by: float = 1e3) -> Hook:
    """A head whose attention scores of the periods of documents are raised."""

    def raised(scores, pairs):
        here = with_periods(pairs).where("document period")
        return scores + by * here[:, None, :]

    return Hook(Site("attn_scores", layer).at(head=head), raised, sees_pairs=True)


def test_periods_rest_where_heads_that_write_nothing_attend_to_them(evidence, reference):
    pairs = with_a_period(evidence)
    with evidence.model.hooked(*(attending(*each) for each in reference.placement.decoy_heads)):
        attention, change = figures_of(evidence, pairs)
    assert attention.holds and change.holds
    assert attention.value > 3 * attention.control and change.value < 0.2 * change.control


def test_they_do_not_where_nothing_attends_to_them(evidence):
    attention, _ = figures_of(evidence, with_a_period(evidence))
    assert not attention.holds


def test_nor_where_the_matching_head_attends_to_them(evidence, reference):
    """Hidden, they give the match its attention back: the score moves."""
    with evidence.model.hooked(attending(*reference.placement.matching, by=40)):
        attention, change = figures_of(evidence, with_a_period(evidence))
    assert attention.holds and not change.holds and change.value > 10


def test_without_any_spread_of_scores_no_change_has_a_size(evidence, reference):
    blind = attending(*reference.placement.matching)
    with evidence.model.hooked(blind), pytest.raises(NotMeasurable, match="score alike"):
        figures_of(evidence, with_a_period(evidence))
