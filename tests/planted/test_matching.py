"""What matching heads look like and do: T1 to T5 of Lu et al. (2025) on heads whose k1 and b
are known. Decoys, which look the same and write nothing, pass all but the last."""

from dataclasses import replace

import numpy as np
import pytest

from crosslens import Axioms, collection, Contrast, CrossEncoder, head, load, plant, Unit
from crosslens.attention import (
    attention_similarity,
    fit_k,
    fit_length,
    fit_saturation,
    length_curve,
    MatchCurve,
    saturation_curve,
    soft_tf_gain,
    soft_tf_of_term,
)
from crosslens.attribution import patch_together
from crosslens.planted import Planted


NAME = "bm25?seed=1&layers=4&heads=3&neurons=4&decoys=2&k1=1.6&b=0.6&synonyms=doctor+physician"


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant(NAME)


@pytest.fixture(scope="module")
def model(planted) -> CrossEncoder:
    return load(planted)


@pytest.fixture(scope="module")
def axioms(model) -> Axioms:
    return Axioms(model, collection())


@pytest.fixture(scope="module")
def tfc1(axioms) -> Contrast:
    return axioms.tfc1(6)


@pytest.fixture(scope="module")
def looks(planted) -> list[Unit]:
    """The matching head, then its decoys."""
    at = planted.placement
    return [head(*at.matching), *(head(*decoy) for decoy in at.decoy_heads)]


def test_an_exact_match_raises_the_count_of_heads_that_look_for_it(model, tfc1, looks):
    for unit, gain in zip(model.heads(), soft_tf_gain(model, tfc1), strict=True):
        if unit in looks:
            assert gain.min() > 0.05, unit
        else:
            assert np.abs(gain).max() < 0.02, unit


def test_a_soft_match_raises_it_only_where_the_words_share_a_code(model, looks):
    query, document = "the doctor of a town", "the river of a town and a"
    bases = model.pairs([query] * 2, [f"{document} house"] * 2)
    mores = model.pairs([query] * 2, [f"{document} physician", f"{document} water"])
    soft = Contrast.between(bases, mores)
    doctor = bases.token == model.pairs(["doctor"], ["a"]).token[0, 1]
    role = soft.base.role.masked_fill(doctor, soft.base.roles.index("Q+"))
    base, more = (side.with_roles(role, side.roles) for side in (soft.base, soft.more))
    gain = soft_tf_gain(model, replace(soft, base=base, more=more))
    for unit in looks:
        close, strange = gain[model.heads().index(unit)]
        assert close > 0.2 and abs(strange) < 1e-6


def test_occurrences_return_the_planted_k1_and_b(planted, model, axioms, looks):
    curve = saturation_curve(model, axioms.saturation(8), looks)
    assert (curve.tf[5] - curve.tf[0] == 5).all()
    assert (curve.increments[0] > 0).all()  # each adds something
    assert (np.diff(curve.increments[0], axis=0) < 0).all()  # and the next one less
    assert (curve.interval().low[0] > 0).all()
    for unit in looks:
        rise = fit_saturation(curve, unit)
        assert rise.a == pytest.approx(1, rel=0.01)
        fit = fit_k(curve, unit, planted.frequencies.mean_length)
        assert (fit.k1, fit.b) == (pytest.approx(1.6, rel=0.05), pytest.approx(0.6, rel=0.05))
        assert fit.k1_interval.low <= fit.k1 <= fit.k1_interval.high and fit.n == 8
    scoring = head(*planted.placement.scoring)
    with pytest.raises(ValueError, match="two pairs with a curve at least; 0 are left"):
        fit_k(saturation_curve(model, axioms.saturation(2), [scoring]), scoring, 50.0)


def test_growing_documents_return_the_planted_k1_and_b(planted, model, axioms, looks):
    curve = length_curve(model, axioms.lengthened(8), looks)
    holds = curve.tf[0] > 0
    assert (np.diff(curve.length, axis=0) > 0).all() and holds.any() and not holds.all()
    assert (curve.increments[0][:, holds] < 0).all()  # the longer, the less
    for unit in looks:
        fit = fit_length(curve, unit, planted.frequencies.mean_length)
        assert (fit.k1, fit.b) == (pytest.approx(1.6, rel=0.05), pytest.approx(0.6, rel=0.05))


def test_attention_goes_with_the_likeness_of_words(model, tfc1, looks):
    r = attention_similarity(model, tfc1.more, centre=True)
    for unit, values in zip(model.heads(), r, strict=True):
        assert (values > 0.02).all() if unit in looks else values.isnan().all(), unit


def test_decoys_look_the_same_and_restore_nothing(planted, model, tfc1, looks):
    matching, *decoys = looks
    whole = patch_together(model, tfc1, [matching], draws=4)
    assert whole.recovered == pytest.approx(1, abs=1e-3)
    none = patch_together(model, tfc1, decoys, draws=12)
    assert none.recovered == pytest.approx(0, abs=1e-3)
    for found in (whole, none):
        members = set(found.members)
        assert all(not members & set(each) and len(each) == len(members) for each in found.others)
    carries = {matching, head(*planted.placement.scoring)}
    is_in = np.array([bool(carries & set(each)) for each in none.others])
    assert (is_in == (none.by_chance > 0.99).T).all() and is_in.any() and not is_in.all()
    assert 0 < whole.rank <= 1 and none.rank < 1
    with pytest.raises(ValueError, match="12 members beside 0 others"):
        patch_together(model, tfc1, model.heads())


def test_a_curve_that_was_not_asked_for_and_a_term_that_is_not_there(model, tfc1, looks):
    one = np.zeros((1, 2, 3))
    with pytest.raises(LookupError, match="has no curve; those of 1 other heads do"):
        MatchCurve((looks[0],), one, one[0], one[0]).of(looks[1])
    plain = Contrast.between(tfc1.base, tfc1.more)
    with pytest.raises(ValueError, match=r"pairs \[0, 1\] have no selected query term"):
        soft_tf_of_term(model, plain.base.take([0, 1]))
