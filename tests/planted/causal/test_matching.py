"""What matching heads look like where document tokens read the query: tests of Lu et al. (2025)."""

import numpy as np
import pytest

from crosslens import Axioms, collection, Contrast, CrossEncoder, head, load, plant, Unit
from crosslens.attention import (
    attention_similarity,
    attention_within_query,
    saturation_curve,
    soft_tf,
    soft_tf_gain,
)
from crosslens.attribution import patch_together
from crosslens.attribution.paths.head_kinds import reading
from crosslens.planted import Planted


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant("causal?seed=1&layers=4&heads=3&neurons=4&decoys=2&k1=1.6")


@pytest.fixture(scope="module")
def model(planted) -> CrossEncoder:
    return load(planted)


@pytest.fixture(scope="module")
def tfc1(model) -> Contrast:
    return Axioms(model, collection()).tfc1(8)


@pytest.fixture(scope="module")
def looks(planted) -> list[Unit]:
    """The matching heads, then those that look like them: decoys, and the repetition head, whose
    document tokens read the query as well and are read by nobody."""
    at = planted.placement
    return [head(*place) for place in (*at.matchers, *at.decoy_heads, at.repetition)]


def test_soft_term_frequency_is_what_document_tokens_give_to_the_query_token(planted, model):
    document = "the river and the people of the other river by a river"
    pairs = model.pair("river", document)
    place = pairs.where("query")[0]
    for (layer, i), weight in zip(planted.placement.matchers, (0.6, 1.6), strict=True):
        found = soft_tf(model, pairs)[layer, i, 0, place]
        expected = sum(weight / (k + weight) for k in (1, 2, 3))
        assert found.item() == pytest.approx(expected, rel=1e-4)
    assert soft_tf(model, pairs)[:, :, 0, ~place].abs().max() == 0


def test_an_exact_match_raises_the_count_of_heads_that_look_for_it(model, tfc1, looks):
    for unit, gain in zip(model.heads(), soft_tf_gain(model, tfc1), strict=True):
        if unit in looks:
            assert gain.min() > 0.05, unit
        else:
            assert np.abs(gain).max() < 0.05, unit


def test_the_kind_of_a_head_is_told_by_who_can_read_whom(model, tfc1, looks):
    heads = reading(model, [tfc1])
    kinds = {unit: heads.kind(unit) for unit in model.heads()}
    assert all((kind == "matching") == (unit in looks) for unit, kind in kinds.items())
    assert "contextual query representation" not in kinds.values()


def test_each_further_match_adds_less(model, looks):
    curve = saturation_curve(model, Axioms(model, collection()).saturation(6), looks)
    assert (curve.increments > 0).all()
    assert (np.diff(curve.increments, axis=1) < 0).all()


def test_attention_goes_with_the_likeness_of_words(model, tfc1, looks):
    r = attention_similarity(model, tfc1.more, centre=True)
    for unit, values in zip(model.heads(), r, strict=True):
        if unit in looks:
            assert (values[~values.isnan()] > 0.02).all() and values.isnan().sum() < 2, unit


def test_even_attention_reads_no_more_of_the_query_than_even(planted, model, tfc1, looks):
    idle = [
        i
        for i, unit in enumerate(model.heads())
        if unit not in planted.circuit and unit not in looks
    ]
    within = attention_within_query(model, tfc1.more)
    assert idle and within[idle].abs().max() < 1e-6


def test_decoys_look_the_same_and_restore_nothing(planted, model, tfc1, looks):
    whole = patch_together(model, tfc1, looks[:2], draws=4)
    assert whole.recovered == pytest.approx(1, abs=1e-3)
    none = patch_together(model, tfc1, looks[2:], draws=4)
    assert none.recovered == pytest.approx(0, abs=1e-3)
