"""Patching: from oneself nothing, everywhere everything, elsewhere nothing at all."""

import pytest
import torch

from crosslens import Cache, head, neuron, Site, Unit
from crosslens.interventions.patch import patch


def cuts(model) -> list[list[Unit]]:
    """Sets of sites that together carry all that the rest of the forward pass reads."""
    last = model.cfg.n_layers - 1
    writes = [*model.sites("attn_out"), *model.sites("mlp_out")]
    alone = [
        Site("embed"),
        Site("full_embed"),
        Site("resid_pre", 0),
        Site("resid_pre", 1),
        Site("resid_mid", 1),
        Site("resid_post", last),
        Site("pooled"),
        Site("logits"),
    ]
    if model.cfg.norm == "post":  # there the MLP's input is also the stream
        alone += [Site("normalized_resid_mid", 1), Site("normalized_resid_post", 0)]
    else:
        alone += [Site("final_norm")]
    together = [Site("full_embed"), *model.sites("z"), *writes[len(writes) // 2 :]]
    return [[Unit(site)] for site in alone] + [
        [Unit(Site("full_embed")), *map(Unit, writes)],
        list(map(Unit, together)),
    ]


def test_patching_a_cut_gives_the_other_score(any_model, any_sides, under, record) -> None:
    base, more = any_sides
    target = under(any_model, more)
    assert ((target - under(any_model, base)).abs() > 1e-4).all()
    for cut in cuts(any_model):
        cache = record(any_model, more, *(unit.site for unit in cut))
        patched = under(any_model, base, *(patch(unit, cache) for unit in cut))
        torch.testing.assert_close(
            patched, target, msg=lambda m, c=cut: f"{list(map(str, c))}: {m}"
        )


def test_what_is_no_cut_gives_another_score(any_model, any_sides, under, record) -> None:
    base, more = any_sides
    target = under(any_model, more)
    for site in (Site("attn_out", 0), Site("mlp_out", 1), Site("z", 1)):
        patched = under(any_model, base, patch(Unit(site), record(any_model, more, site)))
        assert ((patched - target).abs() > 1e-6).all(), site


def test_a_patch_from_oneself_changes_nothing(any_model, any_sides, under, record) -> None:
    base, _ = any_sides
    plain = under(any_model, base)
    cache = record(any_model, base, *any_model.sites())
    for site in any_model.sites():
        torch.testing.assert_close(under(any_model, base, patch(Unit(site), cache)), plain)


def test_only_the_unit_is_patched(two_sides, model, record) -> None:
    base, more = two_sides
    before = record(model, base, "z", "resid_pre", "mlp_post", "pattern")
    source = record(model, more, "z", "resid_pre", "mlp_post", "pattern")
    query = base.where("query")
    places = {
        head(1, 2): (slice(None), slice(None), 2),
        neuron(1, 5): (..., 5),
        Site("resid_pre", 1).at(pos=3): (slice(None), 3),
        Site("resid_pre", 1).at(pos="query"): query,
        Site("pattern", 1).at(head=1, dst="cls", src="query"): (slice(None), 1, 0),
    }
    for unit, place in places.items():
        with (
            torch.no_grad(),
            model.record(unit.site) as unseen,
            model.hooked(patch(unit, source)),
            model.record(unit.site) as after,
        ):
            model(base)
        torch.testing.assert_close(unseen[unit.site], before[unit.site])  # never in place
        expected = before[unit.site].clone()
        expected[place] = source[unit.site][place]
        if unit.site.name == "pattern":  # of the row of [CLS], the query's columns only
            row = torch.where(query, source[unit.site][place], before[unit.site][place])
            expected[place] = row
        torch.testing.assert_close(after[unit.site], expected)


def test_gradients_reach_the_source(any_model, any_sides) -> None:
    base, more = any_sides
    with any_model.record("resid_pre") as source:
        any_model(more)
    site = Site("resid_pre", 1)
    leaf = source[site].detach().requires_grad_()
    with any_model.hooked(patch(site.at(pos="document"), Cache({site: leaf}))):
        any_model(base).sum().backward()
    outside = ~base.where("document")
    assert (leaf.grad[outside] == 0).all() and leaf.grad.abs().sum() > 0


def test_a_cache_of_another_shape_is_refused(model, two_sides, record) -> None:
    base, more = two_sides
    other = record(model, more.take([0]), "z")
    with (
        model.hooked(patch(head(1, 2), other)),
        pytest.raises(
            ValueError, match=r"1\.z\[head=2\] carries \(2, 21, 6\).*holds \(1, 12, 6\).*aligned"
        ),
    ):
        model(base)
    with pytest.raises(LookupError, match="0.q was not recorded"):
        patch(head(0, 1, "q"), other)
