"""Degradation and truncation against plain rescoring and planted truth."""

import pytest
import torch

from crosslens import CrossEncoder, load, Pairs, plant
from crosslens.attribution.words.degradation import degradation, shortened
from crosslens.attribution.words.random_order import random_attribution
from crosslens.attribution.words.removal import leave_one_out
from crosslens.attribution.words.truncation import truncation
from crosslens.not_measurable import NotMeasurable


def test_the_largest_tokens_go_first_and_special_ones_stay(
    model: CrossEncoder, pairs: Pairs
) -> None:
    found = leave_one_out(model, pairs)
    left = shortened(found, 0.3)
    assert (left.lengths == pairs.lengths - torch.round(0.3 * pairs.lengths).long()).all()
    whole = shortened(found, 1.0)
    assert whole.lengths.tolist() == [3, 3]  # [CLS] and two [SEP]
    largest = found.order(0)[0]
    assert (
        pairs.span[0, largest].tolist()
        not in left.span[0][left.where("document", "query")[0]].tolist()
    )


def test_exact_removal_degrades_a_planted_model_faster_than_chance() -> None:
    model = load(plant("bm25"))
    texts = ["a canoe needs a paddle and a road", "the paddle of the bus is in a canoe"]
    pairs = model.pair("canoe paddle", *texts)
    curves = degradation(model, [leave_one_out(model, pairs), random_attribution(model, pairs)])
    normal = curves.normalised()
    assert normal["leave-one-out"].mean() < normal["random"].mean()
    assert min(values[-1] for values in normal.values()) == 0
    table = curves.frame()
    assert len(table) == 2 * 9 * 2 and table["p"].between(0, 1).all()


def test_nothing_to_degrade_is_said(model: CrossEncoder, pairs: Pairs) -> None:
    with pytest.raises(ValueError, match="no attribution to compare"):
        degradation(model, [])
    with pytest.raises(ValueError, match="between 0 and 1"):
        degradation(model, [random_attribution(model, pairs)], shares=[1.2])
    with pytest.raises(ValueError, match="different pairs"):
        degradation(
            model,
            [random_attribution(model, pairs), random_attribution(model, pairs.take([0, 1]))],
        )
    still = degradation(model, [random_attribution(model, pairs)], shares=[0.0])
    with pytest.raises(NotMeasurable, match="no fall to normalise by"):
        still.normalised()


def _matched(pairs: Pairs) -> torch.Tensor:
    terms = torch.isin(pairs.token, pairs.token[0][pairs.where("query")[0]])
    return terms & pairs.where("document")


def test_truncation_counts_the_tokens_that_can_go() -> None:
    model = load(plant("bm25"))
    pairs = model.pair("canoe paddle", "a canoe needs a paddle and a road", "a bus with a canoe")
    with torch.no_grad():
        scores = model(pairs)
    first = leave_one_out(model, pairs.take([0]))
    found = truncation(model, first, scores[1:], parts=("document",))
    n_document = int(pairs.where("document")[0].sum())
    assert found.of.tolist() == [n_document]
    fillers = n_document - int(_matched(pairs)[0].sum())
    assert fillers <= int(found.removable) < n_document  # both matches win, neither loses
    hopeless = truncation(model, first, scores[:1] - 100)
    assert hopeless.removable.tolist() == hopeless.of.tolist()
    assert hopeless.share.tolist() == [1.0]
    with pytest.raises(ValueError, match=r"pairs \[0\] score below their rivals"):
        truncation(model, first, scores[:1] + 1)
