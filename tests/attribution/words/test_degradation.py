"""Degradation and truncation against plain rescoring and planted truth."""

import numpy as np
import pytest
import torch

from crosslens import CrossEncoder, load, Pairs, plant
from crosslens.attribution.words.degradation import Degradation, degradation, shortened
from crosslens.attribution.words.random_order import random_attribution
from crosslens.attribution.words.removal import leave_one_out
from crosslens.attribution.words.truncation import cut_to, truncation
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
    level = truncation(model, first, scores[:1] * (1 + 1e-6))  # but for rounding it is not behind
    assert 0 <= int(level.removable) < int(level.of)
    with pytest.raises(ValueError, match=r"pairs \[0\] score below their rivals"):
        truncation(model, first, scores[:1] + 1)


def test_a_degradation_comes_back_from_its_frame(model: CrossEncoder, pairs: Pairs) -> None:
    methods = (leave_one_out, random_attribution)
    found = degradation(model, [method(model, pairs) for method in methods])
    again = Degradation.of(found.frame().sample(frac=1, random_state=0))
    assert again.shares == found.shares
    assert np.array_equal(again.original, found.original)
    for name, values in found.kept.items():
        assert np.array_equal(again.kept[name], values)
    curves = again.curves()
    assert curves.groupby("method")["p"].first().tolist() == [found.original.mean()] * 2
    assert (curves["low"] <= curves["p"]).all() and (curves["p"] <= curves["high"]).all()
    last = curves[curves["method"] == "leave-one-out"].iloc[-1]
    assert last["drop"] == pytest.approx(found.original.mean() - last["p"])


def test_pairs_are_cut_to_their_largest_tokens(model: CrossEncoder, pairs: Pairs) -> None:
    found = random_attribution(model, pairs)
    left = cut_to(found, 0.5, parts=("document",))
    assert (left.where("query").sum(dim=1) == pairs.where("query").sum(dim=1)).all()
    for i in range(len(pairs)):
        inside = found.order(i, pairs.where("document"))
        kept = {tuple(pairs.span[i, place].tolist()) for place in inside[: round(len(inside) / 2)]}
        spans = left.span[i, left.where("document")[i]].tolist()
        assert {tuple(span) for span in spans} == kept
    assert cut_to(found, 1.0).lengths.tolist() == pairs.lengths.tolist()
    assert cut_to(found, 1e-9).lengths.tolist() == [4, 4]
    with pytest.raises(ValueError, match="share=0"):
        cut_to(found, 0.0)
