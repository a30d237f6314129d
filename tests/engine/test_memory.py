"""Memory: what a pass holds is foreseen."""

import torch

from crosslens.engine.memory import budget_on, Footprint, kept_for_gradients


def test_a_footprint_knows_every_axis(any_model):
    pairs = any_model.pair("why do cats purr", "cats purr", "the engine of a car , and the town")
    size = Footprint.of(any_model, pairs)
    with torch.no_grad(), any_model.record(*any_model.sites()) as cache:
        any_model(pairs)
    for site, value in cache.items():
        if "embed" not in site.name:  # narrower than the stream in ELECTRA
            assert size.of_sites([site]) == value[0].nbytes, site
    assert size.n_layers == any_model.cfg.n_layers and size.tokens == pairs.token.shape[1]


def test_what_gradients_keep_is_within_the_bound(any_model):
    pairs = any_model.pair("why do cats purr", "the engine of a car , and the town")
    size, kept = Footprint.of(any_model, pairs), kept_for_gradients(any_model, pairs)
    streams = [*any_model.sites("resid_mid"), *any_model.sites("mlp_pre")]
    assert size.of_sites(streams) < kept < size.with_gradients


def test_a_budget_is_the_callers_or_a_quarter_of_what_is_free():
    assert budget_on(torch.device("cpu"), 123) == 123
    assert 2**20 < budget_on(torch.device("cpu"), None) < 2**50
