import pytest
import torch

from crosslens.attribution import recovery


def test_nothing_restored_is_0_and_everything_is_1():
    base, target = torch.tensor([0.5, 1.0]), torch.tensor([1.5, -1.0])
    assert recovery(base, base, target).tolist() == [0, 0]
    assert recovery(torch.stack([target, base]), base, target).tolist() == [[1, 1], [0, 0]]


def test_a_pair_without_contrast_is_left_out_not_divided_by_nothing():
    effect = recovery(torch.tensor([9.0, 1.0]), torch.tensor([0.5, 0.0]), torch.tensor([0.5, 2.0]))
    assert effect.isnan().tolist() == [True, False] and effect[1] == 0.5


def test_no_contrast_at_all_is_refused():
    with pytest.raises(ValueError, match=r"score alike \(within 0.001\) in all 2 pairs"):
        recovery(torch.ones(2), torch.zeros(2), torch.zeros(2))
