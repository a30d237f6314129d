from dataclasses import replace

import pytest
import torch

from crosslens import head
from crosslens.attribution import concordance, Effects


@pytest.fixture
def exact() -> Effects:
    units = tuple(head(layer, i) for layer in range(2) for i in range(4))
    mean = torch.tensor([0.9, -0.5, 0.3, 0.2, -0.1, 0.05, 0.02, 0.01])
    spread = torch.tensor([-0.01, 0.0, 0.01])
    scores = torch.zeros(3)
    return Effects("made up", units, mean[:, None] + spread, scores, scores + 1, (False,) * 3)


def test_effects_agree_with_themselves(exact):
    found = concordance(exact, exact, k=3)
    assert found == (1, 1, 1, 1, 0, 8, 3)


def test_the_opposite_agrees_in_size_alone(exact):
    found = concordance(replace(exact, recovered=-exact.recovered), exact, k=3)
    assert found.spearman == pytest.approx(-1) and found.same_sign == 0
    assert found.size_spearman == pytest.approx(1) and found.overlap == 1
    assert found.error == pytest.approx(2)


def test_signs_count_by_what_they_are_signs_of(exact):
    flipped = exact.recovered.clone()
    flipped[6:] *= -1
    assert concordance(replace(exact, recovered=flipped), exact).same_sign > 0.98
    flipped[0] *= -1
    assert concordance(replace(exact, recovered=flipped), exact).same_sign < 0.6


def test_units_are_matched_by_name_and_those_without_a_pair_left_out(exact):
    some = [3, 0, 1, 6]
    part = replace(
        exact, units=tuple(exact.units[i] for i in some), recovered=exact.recovered[some]
    )
    assert concordance(part, exact)[:6] == (1, 1, 1, 1, 0, 4)
    without = part.recovered.clone()
    without[1] = torch.nan
    assert concordance(replace(part, recovered=without), exact).n == 3


def test_what_cannot_be_compared_is_refused(exact):
    with pytest.raises(LookupError, match="0.z.head=0. has no exact effect"):
        concordance(exact, replace(exact, units=exact.units[1:], recovered=exact.recovered[1:]))
    with pytest.raises(ValueError, match="nothing to compare: 1 units"):
        concordance(replace(exact, units=exact.units[:1], recovered=exact.recovered[:1]), exact)
