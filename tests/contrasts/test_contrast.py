"""A contrast: two sides that differ in the edit and nowhere else, or an error that says why."""

from dataclasses import replace

import pytest
import torch

from crosslens.contrasts.contrast import Contrast, contrast, Minimal
from crosslens.interventions.patch import patch
from crosslens.sites import Site


GOOD = Minimal("why do cats purr", "dog and town a", "dog and town cats", "cats")
LONG = Minimal("why do cats", "cats and dog of the town a", "cats and dog of the town cats", "cats")


def test_only_edited_tokens_differ(any_model):
    made = contrast(any_model, "TFC1", [GOOD, LONG])
    differs = made.base.token != made.more.token
    assert (differs == made.base.where("D_inj")).all()
    assert differs.sum(dim=1).tolist() == [1, 1]


@torch.no_grad()
def test_before_the_first_block_the_edited_tokens_are_the_whole_difference(any_model):
    made = contrast(any_model, "TFC1", [GOOD, LONG])
    site = Site("resid_pre", 0)
    with any_model.record(site) as cache:
        target = any_model(made.more)
    base = any_model(made.base)
    for role, restored in (("D_inj", target), ("Q+", base), ("D_other", base)):
        with any_model.hooked(patch(site.at(pos=role), cache)):
            torch.testing.assert_close(any_model(made.base), restored)
    assert ((target - base).abs() > 1e-4).all()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"more": "dog and town cats cats"}, "of unequal length in tokens"),
        ({"more": "dog and town a"}, "the same on both sides"),
        ({"base": "dog " * 99 + "a", "more": "dog " * 99 + "cats"}, "longer than the model reads"),
        ({"term": "dog"}, "with a term that the model does not read as a word of the query"),
        (
            {"more": "cats and town cats", "edits": (((13, 14),), ((14, 18),))},
            "whose edit changes the tokens around it",
        ),
    ],
)
def test_pairs_that_do_not_align_are_counted_by_reason(model, changes, reason):
    bad = GOOD._replace(**changes)
    assert contrast(model, "TFC1", [bad, GOOD]).skipped == {reason: 1}
    with pytest.raises(ValueError, match=f"no pair for TFC1: 2 {reason}"):
        contrast(model, "TFC1", [bad, bad])


def test_a_term_is_the_same_in_any_case(model):
    one, other = (contrast(model, "TFC1", [GOOD._replace(term=term)]) for term in ("cats", "CATS"))
    assert torch.equal(one.base.role, other.base.role) and one.base.where("Q+").any()


def test_no_candidates_at_all_is_refused(model):
    with pytest.raises(ValueError, match="no pair for TFC1: no candidates at all"):
        contrast(model, "TFC1", [])


def test_as_many_are_kept_as_are_wanted_and_the_rest_not_counted(model):
    bad = GOOD._replace(more=GOOD.base)
    made = contrast(model, "TFC1", [GOOD, bad, LONG, bad], most=2)
    assert len(made) == 2 and sum(made.skipped.values()) == 1


def test_sides_that_do_not_belong_together_are_refused(model):
    made = contrast(model, "TFC1", [GOOD, LONG])
    with pytest.raises(ValueError, match=r"pairs \[0, 1\] differ in a token that is not D_inj"):
        replace(made, base=made.base.take([1, 0]), more=made.more)
    with pytest.raises(ValueError, match="they must align"):
        replace(made, base=made.base.take([0]))
    with pytest.raises(ValueError, match="need the same roles"):
        replace(made, base=replace(made.base, role=None, roles=()))


def test_taking_pairs_keeps_the_sides_together(model):
    made = contrast(model, "TFC1", [GOOD, LONG, GOOD])
    some = made.take([2, 0])
    assert some.minimal == (GOOD, GOOD)
    assert some.base.token.shape[1] < made.base.token.shape[1]
    assert made.take(slice(1, 2)).minimal == (LONG,)
    assert made.terms == ("cats",) * 3
    assert str(made) == "TFC1: 3 pairs, 0 candidates left out"


def test_reversing_exchanges_the_sides(model):
    made = contrast(model, "TFC1", [GOOD._replace(edits=(((13, 14),), ((13, 17),)))])
    back = made.reversed
    assert back.base is made.more and back.more is made.base
    assert back.minimal[0].injected == (("cats",), ("a",))
    assert back.reversed.minimal == made.minimal


def test_two_batches_made_by_hand_are_a_contrast(model):
    base = model.pairs(["why do cats purr"] * 2, ["a car in the town", "the dog"])
    more = model.pairs(["why do dog purr", "why do cats purr"], ["a car in the river", "the car"])
    found = Contrast.between(base, more, "by hand")
    assert torch.equal(found.base.where("D_inj"), base.token != more.token)
    assert found.base.where("D_inj").sum() == 3
    parts = found.base.where("[CLS]", "Q-", "[SEP]1", "D_inj", "D_other", "[SEP]2")
    assert torch.equal(parts, base.attended)
    with pytest.raises(ValueError, match="they must align"):
        Contrast.between(base, model.pairs(["why do cats purr"] * 2, ["a car", "the dog"]))
