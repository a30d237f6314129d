from functools import partial

import pytest
import torch
from tiny import FAMILIES
from torch import Tensor

from crosslens import (
    attribution_patching,
    Axioms,
    collection,
    Contrast,
    head,
    load,
    neuron,
    patch,
    patching,
    plant,
    Site,
    sweep,
    Unit,
    units_at,
)
from crosslens.attribution import concordance


def every_kind(model) -> list[Unit]:
    """Whole sites, and every kind of part of them."""
    inner = [site for site in model.sites() if site.layer == 1]
    parts = [
        *(head(1, 2, site) for site in ("z", "q", "k", "v", "result")),
        *units_at([s for s in inner if "pos" in s.axes], "pos", ["document", "query|cls", 3]),
        Site("pattern", 1).at(head=0, dst="cls", src="document"),
        Site("attn_scores", 0).at(dst=2, src="query"),
        head(1, 3, "k").site.at(head=3, pos="document"),
        head(1, 3, "q").site.at(head=3, pos=1),
        neuron(0, 5),
        Site("mlp_pre", 2).at(neuron=3, pos="document"),
    ]
    return [*(site.at() for site in model.sites()), *parts]


def same(estimate, exact, tolerance):
    """Equal up to a share of the largest effect."""
    scale = exact.recovered.abs().max()
    assert scale > 0.5
    torch.testing.assert_close(
        estimate.recovered, exact.recovered, rtol=0, atol=tolerance * scale.item()
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_where_the_score_is_linear_the_estimate_is_the_exact_effect(family, close):
    model, contrast = close(family)
    units = every_kind(model)
    exact = patching(model, contrast, units)
    same(attribution_patching(model, contrast, units), exact, 1e-4)
    same(attribution_patching(model, contrast, units, exact_softmax=True), exact, 1e-4)
    same(attribution_patching(model, contrast, units, steps=2), exact, 1e-4)


def test_a_key_that_several_heads_read_changes_the_patterns_of_all_of_them(close):
    model, contrast = close("qwen3")
    contrast = contrast.take([1])  # the first has no contrast
    places = [Site("k", 2).at(head=i, pos="document") for i in range(2)]
    units = [*model.heads("k"), *places, Site("k", 2).at(head=-1, pos="document")]
    exact = patching(model, contrast, units)
    fixed = attribution_patching(model, contrast, units, exact_softmax=True)
    scale = exact.recovered[-3:].abs().max().item()
    torch.testing.assert_close(fixed.recovered, exact.recovered, rtol=1e-3, atol=1e-3 * scale)
    assert torch.equal(fixed.recovered[-1], fixed.recovered[-2])


def test_where_it_is_curved_the_estimate_errs_and_closer_pairs_err_less(close):
    errors = []
    for distance in (1e-2, 1e-3, 1e-4):
        model, contrast = close("bert", distance)
        units = model.heads()
        estimate = attribution_patching(model, contrast, units).recovered
        exact = patching(model, contrast, units).recovered
        errors.append((estimate - exact).abs().nan_to_num().max().item())
    assert errors[0] > 1e-4
    assert errors[0] > 5 * errors[1] > 25 * errors[2]


def test_pairs_estimated_together_are_pairs_estimated_alone(apart):
    model, contrast = apart
    together = attribution_patching(model, contrast, model.heads("q"), exact_softmax=True, steps=2)
    for i in range(len(contrast)):
        alone = attribution_patching(
            model, contrast.take([i]), model.heads("q"), exact_softmax=True, steps=2
        )
        torch.testing.assert_close(alone.recovered[:, 0], together.recovered[:, i])
        torch.testing.assert_close(alone.target[0], together.target[i])
    split = attribution_patching(
        model, contrast, model.heads("q"), exact_softmax=True, steps=2, at_once=1
    )
    torch.testing.assert_close(split.recovered, together.recovered)


@pytest.fixture(scope="module", params=["bm25?seed=0&decoys=3", "bm25?seed=1&decoys=3&layers=5"])
def planted(request):
    return plant(request.param)


@pytest.fixture(scope="module")
def model(planted):
    return load(planted)


@pytest.fixture(scope="module")
def contrast(model):
    return Axioms(model, collection("embedded")).tfc1(3)


def test_gradients_find_the_planted_heads(model, contrast, planted):
    units = model.heads()
    estimate = attribution_patching(model, contrast, units)
    truth = torch.tensor([unit in planted.circuit for unit in units])
    torch.testing.assert_close(estimate.mean[truth], torch.ones(2), rtol=1e-3, atol=1e-3)
    assert estimate.mean[~truth].abs().max() < 1e-4


def test_an_exact_softmax_is_exact_where_all_behind_it_is_linear(model, contrast):
    """As in a planted model: queries and keys, of all tokens or of some."""
    places = units_at(model.sites("k"), "pos", ["D_inj", "query"])
    units = [
        *model.heads("q"),
        *model.heads("k"),
        *(
            unit.site.at(head=i, **dict(unit.coordinates))
            for unit in places
            for i in range(model.cfg.n_heads)
        ),
    ]
    exact = patching(model, contrast, units)
    fixed = attribution_patching(model, contrast, units, exact_softmax=True)
    torch.testing.assert_close(
        fixed.recovered, exact.recovered, rtol=1e-3, atol=1e-3, equal_nan=True
    )
    # the control: the slope of a saturated softmax says nothing of where it leads
    plain = attribution_patching(model, contrast, units)
    assert exact.mean.max() > 0.99 and (plain.mean - exact.mean).abs().max() > 0.5
    assert concordance(fixed, exact).error < 1e-3 < concordance(plain, exact).error


def test_the_query_that_asks_for_another_word_is_found_with_an_exact_softmax(model, planted):
    texts = ["the heart of a snake and a doctor"]
    swapped = Contrast.between(
        model.pairs(["heart of a doctor"], texts), model.pairs(["heart of a market"], texts)
    )
    units = [unit.site.at(pos="query", **dict(unit.coordinates)) for unit in model.heads("q")]
    exact = patching(model, swapped, units)
    fixed = attribution_patching(model, swapped, units, exact_softmax=True)
    torch.testing.assert_close(fixed.recovered, exact.recovered, rtol=1e-3, atol=1e-3)
    layer, index = planted.placement.matching
    assert exact.mean.argmax() == layer * model.cfg.n_heads + index


def test_dropping_blocks_takes_the_slope_with_each_block_held(close):
    model, contrast = close("bert")
    units = every_kind(model)
    found = attribution_patching(model, contrast, units, grad_drop=True)
    with model.record(*model.sites()) as base:
        plain = model(contrast.base)
    with model.record(*model.sites()) as source:
        model(contrast.more)

    def held(layer):
        return [patch(Site(name, layer).at(), base) for name in ("attn_out", "mlp_out")]

    sizes = [
        (sweep(model, contrast.base, [[patch(u, source), *held(b)] for u in units]) - plain).abs()
        for b in range(3)
    ]
    expected = torch.stack(sizes).sum(dim=0) / 2 / (found.target - found.base).abs()
    torch.testing.assert_close(found.recovered, expected, rtol=1e-3, atol=1e-4)


def test_dropping_blocks_shows_a_unit_whose_effects_cancel(apart):
    """Scale what a later MLP writes until a head's direct and indirect effects cancel."""
    model, contrast = apart
    contrast = contrast.take([1])
    writes = model.blocks[1].mlp.w_out.weight
    given = writes.detach().clone()

    def estimate(factor: float, **options: bool) -> Tensor:
        with torch.no_grad():
            writes.copy_(factor * given)
        return attribution_patching(model, contrast, model.heads()[:4], **options).mean

    grid = torch.linspace(-4, 4, 9).tolist()
    turns = torch.stack([estimate(factor) for factor in grid]).sign().diff(dim=0).nonzero()
    step, unit = turns[0].tolist()
    low, high = grid[step : step + 2]
    for _ in range(24):
        middle = (low + high) / 2
        is_left = estimate(low)[unit] * estimate(middle)[unit] < 0
        low, high = (low, middle) if is_left else (middle, high)
    assert estimate(low)[unit].abs() < 1e-6
    assert estimate(low, grad_drop=True)[unit] > 1e-2


def test_a_role_that_a_pair_lacks_is_no_effect_of_zero(model, contrast):
    unit = model.sites("resid_pre")[1].at(pos="D+")
    found = attribution_patching(model, contrast, [unit])
    assert torch.equal(found.of(unit).isnan(), ~contrast.base.where("D+").any(dim=1))


def test_what_cannot_be_estimated_is_refused(apart):
    model, contrast = apart
    estimate = partial(attribution_patching, model, contrast)
    with pytest.raises(ValueError, match="has no pattern of its own"):
        estimate([Site("q", 0).at(head=1, d_head=2)], exact_softmax=True)
    with pytest.raises(LookupError, match="outside the model"):
        estimate([head(0, 9)])
    with pytest.raises(ValueError, match="steps=-1"):
        estimate(model.heads(), steps=-1)
    with pytest.raises(ValueError, match="at_once=0"):
        estimate(model.heads(), at_once=0)
    with pytest.raises(MemoryError, match="raise memory_budget"):
        estimate(model.heads(), memory_budget=1000)
    with pytest.raises(ValueError, match="no contrast to recover"):
        attribution_patching(model, Contrast.between(contrast.base, contrast.base), model.heads())


def test_it_leaves_no_trace_and_tells_how_far_it_is(apart):
    model, contrast = apart
    before = model(contrast.base)
    seen = []
    attribution_patching(
        model,
        contrast,
        model.heads("k"),
        exact_softmax=True,
        grad_drop=True,
        at_once=1,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 2), (2, 2)]
    assert torch.equal(model(contrast.base), before)
    assert not any(point.has_hooks() for point in model.hook_dict.values())
    assert all(weight.grad is None for weight in model.parameters())
