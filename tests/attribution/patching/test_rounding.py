import pytest
import torch
from tiny import FAMILIES, tiny

from crosslens import ablate, load, patch, sweep
from crosslens.attribution.patching.rounding import rounding


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("dtype", "worst"), [(torch.bfloat16, 0.4), (torch.float16, 0.04)])
def test_a_sweep_in_half_precision_is_the_same_sweep_rounded(family, dtype, worst):
    model = load(*tiny(family))
    pairs, more = (model.pair("why do cats purr", text) for text in ("cats rest", "dog bark"))
    units = [*model.heads(), *(site.at() for site in model.sites("resid_pre"))]

    def scores():
        with torch.no_grad(), model.record("z", "resid_pre") as source:
            model(more)
        return sweep(model, pairs, [patch(unit, source) for unit in units] + [ablate(units[0])])

    exact = scores()
    model.to(dtype)
    rough = scores()
    assert model.dtype == dtype and rough.dtype == torch.float32
    cost = rounding(rough, exact)
    assert 0 < cost.share < worst and cost.order > 0.9


def test_rounding_is_the_largest_difference_its_share_and_the_order():
    exact = torch.tensor([[0.0, 5.0], [1.0, 5.5], [4.0, 7.0]])
    same = rounding(exact, exact)
    assert (same.worst, same.share, same.order) == (0, 0, pytest.approx(1))
    found = exact.clone()
    found[1, 1] += 0.5
    cost = rounding(found, exact)
    assert (cost.worst, cost.share) == (0.5, 0.25) and str(cost).startswith("off by 5.0e-01")
    assert rounding(exact.flip(0), exact).order == pytest.approx(-1)


def test_cells_without_a_spread_are_refused():
    with pytest.raises(ValueError, match=r"score alike in pairs \[1\]"):
        rounding(torch.ones(2, 2), torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
