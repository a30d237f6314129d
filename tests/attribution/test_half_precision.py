"""The methods on weights of bfloat16: the same as on those weights in float32, but for rounding."""

from collections.abc import Callable

import pytest
import torch
from encoder_decoders import encoder_decoder, MONO, tokenizer
from tiny import tiny
from torch import Tensor

from crosslens import (
    attribution_patching,
    bottleneck,
    conductance,
    Contrast,
    CrossEncoder,
    direct_attribution,
    edge_attribution,
    load,
    patching,
    path_patching,
    Site,
)
from crosslens.attribution import EdgeEffects, Effects, Noise, padding_baseline
from crosslens.stats import spearman
from crosslens.words import leave_one_out


QUERY = "why do cats purr"
BASE = ("the dog rest in the town .", "bananas are rich in potassium , dog")
MORE = ("the cats purr in the town .", "bananas are rich in potassium , cats")


@pytest.fixture(scope="module", params=["bert", "qwen3", "t5"])
def models(request) -> tuple[CrossEncoder, CrossEncoder]:
    """One model twice: in bfloat16, and the same numbers in float32."""

    def built(dtype: torch.dtype) -> CrossEncoder:
        if request.param == "t5":
            original = encoder_decoder("t5-1.1").bfloat16().to(dtype)
            return load(original, tokenizer(), template=MONO, relevant=("true", "false"))
        original, words = tiny(request.param)
        return load(original.bfloat16().to(dtype), words)

    return built(torch.bfloat16), built(torch.float32)


def between(model: CrossEncoder) -> Contrast:
    return Contrast.between(model.pair(QUERY, *BASE), model.pair(QUERY, *MORE), "TF")


def flow(model: CrossEncoder) -> Tensor:
    pairs, sites = between(model).base, model.sites("resid_pre")
    found = conductance(model, pairs, padding_baseline(model, pairs), sites, steps=8)
    return torch.cat([found[site].flatten() for site in sites])


def passed(model: CrossEncoder) -> Tensor:
    pairs, outputs = between(model).more, model.block_outputs()
    with torch.no_grad(), model.record(*outputs) as cache:
        model(pairs)
    noises = [Noise.of(cache[site], pairs) for site in outputs]
    return bottleneck(model, pairs, noises, beta=0.0, steps=2, repeats=2).nats


def changes(effects: Effects | EdgeEffects) -> Tensor:
    """By how much scores change, where `recovered` says which share of the contrast that is."""
    return (effects.recovered * (effects.target - effects.base)).nan_to_num()


METHODS: dict[str, Callable[[CrossEncoder], Tensor]] = {
    "patching": lambda m: changes(patching(m, between(m), m.heads(), least=1e-6)),
    "attribution patching": lambda m: changes(attribution_patching(m, between(m), m.heads())),
    "edge attribution": lambda m: changes(edge_attribution(m, between(m))),
    "path patching": lambda m: changes(path_patching(m, between(m), m.heads(), least=1e-6)),
    "conductance": flow,
    "bottleneck": passed,
    "direct attribution": lambda m: direct_attribution(m, between(m).base),
    "leave one out": lambda m: leave_one_out(m, between(m).base).token,
}


def size(model: CrossEncoder) -> float:
    """What the terms of a score add up to without their signs: 16 bit round a share of it."""
    with torch.no_grad(), model.record("pooled") as cache:
        model(between(model).more)
    return (cache[Site("pooled")].abs() @ model.head.out.weight.abs().T).max().item()


@pytest.mark.parametrize("method", METHODS)
def test_a_method_finds_in_bfloat16_what_it_finds_in_float32(models, method):
    rough, exact = (METHODS[method](model).detach() for model in models)
    assert torch.isfinite(rough).all() and rough.shape == exact.shape
    worst = (rough - exact).abs().max().item()
    assert 0 < worst < 0.03 * max(exact.abs().max().item(), size(models[1]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_bottleneck_trained_on_16_bit_orders_tokens_as_in_float32(dtype):
    def nats(model: CrossEncoder) -> Tensor:
        pairs, outputs = between(model).more, model.block_outputs()
        with torch.no_grad(), model.record(*outputs) as cache:
            model(pairs)
        noises = [Noise.of_each(cache[site], pairs) for site in outputs]
        return bottleneck(model, pairs, noises).nats[:, pairs.attended]

    original, words = tiny("bert")
    original = original.to(dtype)
    rough = nats(load(original, words))
    exact = nats(load(original.float(), words))
    for mine, theirs in zip(rough, exact, strict=True):
        assert spearman(mine.double().numpy(), theirs.double().numpy()) > 0.99


def test_the_noise_of_a_large_stream_in_float16_is_that_in_float32():
    model = load(*tiny("bert"))
    pairs = between(model).more
    x = 400 * torch.randn(*pairs.token.shape, 24, generator=torch.Generator().manual_seed(0))
    rough, exact = Noise.of_each(x.half(), pairs), Noise.of_each(x.half().float(), pairs)
    assert torch.allclose(rough.std.float(), exact.std, rtol=2e-3)
    assert torch.allclose(rough.mean.float(), exact.mean, rtol=2e-3, atol=0.1)


def test_tables_hold_float32_scores_and_no_hole(models):
    effects = patching(models[0], between(models[0]), models[0].heads(), least=1e-6)
    frame = effects.frame()
    assert {str(frame[name].dtype) for name in ("base", "target", "recovered")} == {"float32"}
    assert frame.notna().all().all() and effects.summary()["mean"].notna().all()
