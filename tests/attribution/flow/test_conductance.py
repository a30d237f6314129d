import pytest
import torch
from captum.attr import LayerConductance

from crosslens import Site
from crosslens.attribution.flow.conductance import conductance, LINEAR, padding_baseline
from crosslens.attribution.flow.quadrature import gauss_legendre, trapezoid
from crosslens.engine.memory import Footprint, kept_for_gradients


@pytest.fixture
def pairs(any_model):
    return any_model.pair("why do cats purr", "cats purr when they rest", "a car , and a dog")


def random_baseline(model, pairs):
    """Part of the way to other words: these models are wild, and a long path has kinks."""
    with torch.no_grad(), model.record("embed") as cache:
        model(pairs)
    x = cache[Site("embed")]
    order = torch.randperm(x.shape[1], generator=torch.Generator().manual_seed(0))
    return torch.lerp(x, x[:, order], 0.3)


def test_through_a_full_cut_flows_the_change_in_score(any_model, pairs):
    model = any_model.double()
    baseline = random_baseline(model, pairs)
    flow = conductance(model, pairs, baseline, ["embed", "resid_pre"], steps=96)
    with torch.no_grad(), model.tapped([(Site("embed"), lambda _: baseline)]):
        start = model(pairs)
    change = model(pairs) - start
    assert torch.allclose(flow.change, change)
    for site in flow.sites:
        # flows of both signs cancel: what is lost is measured against all that flows
        assert change.abs().min() > 1e-3 * flow[site].abs().sum(dim=1).max()
        lost = (flow[site].sum(dim=1) - change).abs()
        assert (lost < 1e-3 * flow[site].abs().sum(dim=1)).all()


def test_the_two_rules_agree_and_gauss_needs_fewer_steps(model):
    model = model.double()
    pairs = model.pair("why do cats purr", "cats purr when they rest")
    baseline = random_baseline(model, pairs)
    exact = conductance(model, pairs, baseline, steps=96)
    for rule, steps, worst in ((trapezoid, 400, 1e-4), (gauss_legendre, 24, 1e-6)):
        flow = conductance(model, pairs, baseline, steps=steps, rule=rule)
        for site in flow.sites:
            assert (flow[site] - exact[site]).norm() < worst * exact[site].norm()


def test_it_is_captums_layer_conductance(model):
    model = model.double()
    pairs = model.pair("why do cats purr", "cats purr when they rest")
    baseline = random_baseline(model, pairs)
    flow = conductance(model, pairs, baseline, ["mlp_post", "attn_out"], steps=24, per_token=True)

    def score(words):
        with model.tapped([(Site("embed"), lambda _: words)]):
            return model(pairs.repeat(len(words)))

    with model.record("embed") as cache:
        model(pairs)
    for site in (Site("mlp_post", 0), Site("attn_out", 1)):
        # captum's rectangles converge slowly: hold it to its own accuracy
        theirs = LayerConductance(score, model.point(site)).attribute(
            cache[Site("embed")], baseline, n_steps=800, method="riemann_middle"
        )
        assert (theirs - flow[site]).norm() < 5e-3 * flow[site].norm()


def test_a_tolerance_is_met_and_reported(model):
    model = model.double()
    pairs = model.pair("why do cats purr", "cats purr when they rest", "a car , and a dog")
    baseline = random_baseline(model, pairs)
    rough = conductance(model, pairs, baseline, steps=3)
    fine = conductance(model, pairs, baseline, steps=3, tolerance=1e-8)
    assert rough.error.max() > 1e-8 > fine.error.max() and fine.steps > rough.steps == 3


def test_a_dead_neuron_carries_nothing_and_permuted_neurons_carry_the_same(model, pairs):
    pairs = model.pair("why do cats purr", "cats purr when they rest")
    baseline = random_baseline(model, pairs)
    mlp = model.blocks[0].mlp
    site = Site("mlp_post", 0)
    before = conductance(model, pairs, baseline, [site])[site]
    order = torch.randperm(mlp.w_in.out_features, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        mlp.w_in.weight[:], mlp.w_in.bias[:] = mlp.w_in.weight[order], mlp.w_in.bias[order]
        mlp.w_out.weight[:] = mlp.w_out.weight[:, order]
    permuted = conductance(model, pairs, baseline, [site])[site]
    assert torch.allclose(permuted, before[:, order], atol=1e-6)
    with torch.no_grad():
        mlp.w_in.weight[3] = mlp.w_in.bias[3] = 0
    dead = conductance(model, pairs, baseline, [site])[site]
    assert dead[0, 3] == 0 and before.abs().min() > 0


def test_flow_does_not_depend_on_what_shares_the_batch(model):
    model = model.double()
    pairs = model.pair("why do cats purr", "cats purr", "the engine of a car , and the town")
    baseline = random_baseline(model, pairs)
    together = conductance(model, pairs, baseline, rows=64, per_token=True)
    apart = conductance(model, pairs, baseline, rows=1, per_token=True)
    for site in together.sites:
        assert torch.allclose(together[site], apart[site], atol=1e-10)


def test_the_padded_baseline_keeps_what_it_is_given(model, pairs):
    pairs = model.pair("why do cats purr", "cats purr")
    with torch.no_grad(), model.record("embed") as cache:
        model(pairs)
    words, kept = cache[Site("embed")], padding_baseline(model, pairs, ["cls", "document"])
    same = (words == kept).all(dim=-1)
    assert torch.equal(same, pairs.where("cls", "document"))
    assert not (padding_baseline(model, pairs) == words).all(dim=-1).any()


def test_every_linear_map_is_asked_for_by_default(model):
    pairs = model.pair("why do cats purr", "cats purr")
    flow = conductance(model, pairs, padding_baseline(model, pairs), steps=4)
    assert {site.name for site in flow.sites} == set(LINEAR) and len(flow.sites) == 18


def test_a_budget_takes_shorter_panels_and_gives_the_same_flow(model):
    model = model.double()
    pairs = model.pair("why do cats purr", "cats purr", "the engine of a car , and the town")
    baseline = random_baseline(model, pairs)
    site = Site("mlp_pre", 1)
    roomy = conductance(model, pairs, baseline, [site], steps=48)
    size = Footprint.of(model, pairs)
    beside = size.of_sites([site, Site("embed"), *model.sites("resid_pre")[1:]])
    row = kept_for_gradients(model, pairs) + size.block + beside
    tight = conductance(model, pairs, baseline, [site], steps=48, memory_budget=5 * row)
    assert not torch.equal(roomy[site], tight[site])
    assert (roomy[site] - tight[site]).norm() < 1e-3 * roomy[site].norm()
    with pytest.raises(MemoryError, match="four points of a path"):
        conductance(model, pairs, baseline, [site], memory_budget=4 * row - 1)


def test_flow_can_be_had_for_sites_with_two_token_axes(model):
    pairs = model.pair("why do cats purr", "cats purr", "the engine of a car , and the town")
    flow = conductance(model, pairs, random_baseline(model, pairs), ["pattern", "pooled"], rows=1)
    width = pairs.token.shape[1]
    assert flow[Site("pattern", 0)].shape == (2, 4, width, width)
    assert (flow[Site("pattern", 0)][0, :, :, pairs.lengths[0] :] == 0).all()
    torch.testing.assert_close(flow[Site("pooled")].sum(dim=1), flow.change, atol=1e-3, rtol=1e-2)
