from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from crosslens import Hook
from crosslens.attribution.flow.bottleneck import bottleneck, information, Noise
from crosslens.engine.memory import Footprint, kept_for_gradients


def outputs(model):
    return model.sites(model.cfg.block_output)


@pytest.fixture
def noises(any_model):
    reference = any_model.pair("the river", "a dog and a snake", "what is the capital of france")
    with torch.no_grad(), any_model.record(*outputs(any_model)) as cache:
        any_model(reference)
    return [Noise.of(cache[site], reference) for site in outputs(any_model)]


def by_full_passes(model, pairs, layer, noise, *, beta, steps, repeats):
    """The same optimisation, one pair at a time, through the whole hooked model."""
    found, is_last = [], layer == model.cfg.n_layers - 1
    for i in range(len(pairs)):
        pair = pairs.take([i])
        site = outputs(model)[layer]
        with torch.no_grad(), model.record(site) as cache:
            model(pair)
        normal = (cache[site] - noise.mean) / noise.std
        alpha = torch.full_like(normal, 5.0, requires_grad=True)
        optimiser = torch.optim.Adam([alpha], lr=1.0)
        generator = torch.Generator().manual_seed(0)
        for _ in range(steps):
            keep = alpha.sigmoid()
            # after the last block of a model that reads [CLS], noise elsewhere meets no reader
            at = int(pair.scored) if is_last and model.reads_scored_row else slice(None)
            eps = torch.zeros(repeats, *normal.shape[1:], dtype=normal.dtype)
            drawn = 1 if isinstance(at, int) else normal.shape[1]
            some = torch.randn(
                repeats, drawn, normal.shape[2], generator=generator, dtype=normal.dtype
            )
            eps[:, at] = some[:, 0] if isinstance(at, int) else some

            def inject(x, keep=keep, eps=eps):
                return keep * x + (1 - keep) * (noise.mean + noise.std * eps)

            with model.hooked(Hook(site.at(), inject)):
                score = model(pair.repeat(repeats))
            passed = information(keep, 1 - keep, normal)
            loss = F.softplus(-score).mean() + beta * passed.mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        found.append(
            F.pad(passed.detach().sum(-1)[0], (0, pairs.token.shape[1] - pair.token.shape[1]))
        )
    return torch.stack(found)


def test_the_suffix_gives_what_the_whole_model_gives(any_model, noises):
    model = any_model.double()
    noises = [Noise(noise.mean.double(), noise.std.double()) for noise in noises]
    pairs = model.pair("why do cats purr", "cats purr when they rest", "the engine of a car , and")
    fast = bottleneck(model, pairs, noises, beta=0.1, steps=4, repeats=3)
    for layer in range(model.cfg.n_layers):
        slow = by_full_passes(model, pairs, layer, noises[layer], beta=0.1, steps=4, repeats=3)
        assert torch.allclose(fast.nats[layer], slow, rtol=1e-8, atol=1e-8)


def test_attributions_do_not_depend_on_what_shares_the_batch(any_model, noises):
    model = any_model.double()
    noises = [Noise(noise.mean.double(), noise.std.double()) for noise in noises]
    pairs = model.pair("why do cats purr", "cats purr", "the engine of a car , and the town")
    both = bottleneck(model, pairs, noises, layers=[1])
    alone = bottleneck(model, pairs.take([0]), noises, layers=[1])
    assert torch.allclose(both.nats[0, 0, : alone.nats.shape[-1]], alone.nats[0, 0], rtol=1e-6)
    assert torch.allclose(both.beta[0, 0], alone.beta[0, 0])


def test_without_a_price_nothing_is_squeezed_and_with_a_high_one_everything(model, pairs):
    with torch.no_grad(), model.record("normalized_resid_post") as cache:
        model(pairs)
    noises = [Noise.of(cache[site], pairs) for site in outputs(model)]
    free = bottleneck(model, pairs, noises, layers=[1], beta=0.0, steps=1)
    dear = bottleneck(model, pairs, noises, layers=[1], beta=1e4, steps=12)
    there = pairs.attended
    assert (free.nats[0][there] > 1).all() and (
        dear.nats[0][there] < 0.5 * free.nats[0][there]
    ).all()
    assert (free.nats[0][~there] == 0).all()


def test_information_is_never_negative_and_nothing_passed_is_nothing():
    keep = torch.linspace(0.001, 0.999, 50)
    x = torch.randn(50, generator=torch.Generator().manual_seed(0))
    assert (information(keep, 1 - keep, x) >= 0).all()
    assert information(torch.zeros(1), torch.ones(1), torch.full((1,), 9.0)) == 0


def test_the_scaled_attribution_spans_0_to_1(model, pairs):
    with torch.no_grad(), model.record("normalized_resid_post") as cache:
        model(pairs)
    noises = [Noise.of_each(cache[site], pairs) for site in outputs(model)]
    scaled = bottleneck(model, pairs, noises, layers=[0, 2]).scaled(pairs)
    assert scaled.shape == (2, 2, pairs.token.shape[1])
    for row, there in zip(scaled[0], pairs.attended, strict=True):
        assert row[there].min() == 0 and row[there].max() == 1 and (row[~there] == 0).all()


def test_a_noise_for_each_layer_is_asked_for(model, pairs):
    noise = Noise(torch.zeros(1, 1, 24), torch.ones(1, 1, 24))
    with pytest.raises(ValueError, match="1 noises for 3 layers"):
        bottleneck(model, pairs, [noise])
    with pytest.raises(LookupError, match="layers 0 to 2"):
        bottleneck(model, pairs, [noise] * 3, layers=[3])
    with pytest.raises(ValueError, match="0 steps of 10 repetitions"):
        bottleneck(model, pairs, [noise] * 3, steps=0)
    for beta in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="price of information is 0 or more"):
            bottleneck(model, pairs, [noise] * 3, beta=beta)


def test_a_budget_splits_repetitions_and_pairs_and_changes_nothing(model, pairs):
    model = model.double()
    with torch.no_grad(), model.record(model.cfg.block_output) as cache:
        model(pairs)
    noises = [Noise.of_each(cache[site], pairs) for site in outputs(model)]
    roomy = bottleneck(model, pairs, noises, steps=3)
    size = Footprint.of(model, pairs)
    row = kept_for_gradients(model, pairs) + size.block
    tight = bottleneck(model, pairs, noises, steps=3, memory_budget=3 * row)
    torch.testing.assert_close(tight.nats, roomy.nats)
    torch.testing.assert_close(tight.beta, roomy.beta)
    with pytest.raises(MemoryError, match="one repetition for one pair"):
        bottleneck(model, pairs, noises, memory_budget=row - 1)


def test_nothing_is_run_whose_slope_nobody_reads(model, pairs, monkeypatch):
    shapes, suffix = [], model.suffix

    def watched(pairs, start, given):
        shapes.append(tuple(given.shape[:2]))
        return suffix(pairs, start, given)

    monkeypatch.setattr(model, "suffix", watched)
    like = torch.zeros(1, 1, 24)
    noises = [Noise(like, like + 1)] * 3
    bottleneck(model, pairs, noises, layers=[1, 2], beta=1.0, steps=3, repeats=2)
    width = pairs.token.shape[1]
    # two of three passes train; after the last block [CLS] alone meets the noise
    assert shapes == 2 * [(4, width)] + 2 * [(4, 1)]
    shapes.clear()
    bottleneck(model, pairs, noises, layers=[2], steps=1, repeats=2)  # its beta is to be found
    assert shapes == [(4, 1)]


def test_after_the_last_block_only_the_scored_row_answers_to_the_score(model):
    pairs = model.pair("the river", "a dog and a snake")
    with torch.no_grad(), model.record(*outputs(model)) as cache:
        model(pairs)
    noises = [Noise.of_each(cache[site], pairs) for site in outputs(model)]
    last = model.cfg.n_layers - 1
    moved = replace(pairs, scored=torch.full_like(pairs.scored, 2))
    first, third = (
        bottleneck(model, some, noises, layers=[last], beta=1e-3, steps=4, repeats=2).nats[0, 0]
        for some in (pairs, moved)
    )
    assert (first != third).nonzero().flatten().tolist() == [0, 2]
