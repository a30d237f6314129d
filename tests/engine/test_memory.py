"""Memory: what a pass holds is foreseen, and running out of it is survived."""

import pytest
import torch

from crosslens import bottleneck, conductance
from crosslens.attribution import Noise, padding_baseline
from crosslens.engine.memory import BatchSize, budget_on, Footprint, kept_for_gradients


@pytest.fixture
def four(model):
    return model.pair("why do cats purr", "cats purr", "the river", "a dog and a snake", "france")


@pytest.fixture
def small_device(model, monkeypatch):
    """A model on a device that has room for some rows only, and the batches it was sent."""
    sizes = []

    def with_room_for(rows):
        for name in ("forward", "suffix"):
            whole = getattr(model, name)

            def run(pairs, *args, whole=whole):
                sizes.append(len(pairs))
                if len(pairs) > rows:
                    raise torch.OutOfMemoryError("CUDA out of memory")
                return whole(pairs, *args)

            monkeypatch.setattr(model, name, run)
        return sizes

    return with_room_for


def test_batches_are_halved_until_they_fit_and_stay_so():
    def run(batch):
        tried.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError
        return [item * 10 for item in batch]

    tried = []
    found = [x for _, batch in BatchSize(8).batches(run, range(10)) for x in batch]
    assert found == [item * 10 for item in range(10)]
    assert tried == [8, 4, 2, 2, 2, 2, 2]


def test_what_does_not_fit_alone_is_an_error_and_so_is_any_other():
    def too_big(batch):
        raise torch.OutOfMemoryError

    def wrong(batch):
        raise ZeroDivisionError

    with pytest.raises(torch.OutOfMemoryError):
        list(BatchSize(4).batches(too_big, range(4)))
    with pytest.raises(ZeroDivisionError):
        list(BatchSize(4).batches(wrong, range(4)))


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


def test_conductance_survives_a_small_device(model, four, small_device):
    baseline = padding_baseline(model, four)
    expected = conductance(model, four, baseline, steps=4)
    sizes = small_device(9)
    flow = conductance(model, four, baseline, steps=4)
    assert max(sizes) > 9
    for site in flow.sites:
        torch.testing.assert_close(flow[site], expected[site], atol=1e-5, rtol=1e-4)


def test_the_bottleneck_survives_a_small_device(model, four, small_device):
    with torch.no_grad(), model.record("normalized_resid_post") as cache:
        model(four)
    noises = [Noise.of(value, four) for value in cache.values()]
    expected = bottleneck(model, four, noises, layers=[0], steps=2)
    sizes = small_device(25)
    passed = bottleneck(model, four, noises, layers=[0], steps=2)
    assert max(sizes) > 25
    torch.testing.assert_close(passed.nats, expected.nats, atol=1e-4, rtol=1e-4)


def test_a_budget_is_the_callers_or_a_quarter_of_what_is_free():
    assert budget_on(torch.device("cpu"), 123) == 123
    assert 2**20 < budget_on(torch.device("cpu"), None) < 2**50
