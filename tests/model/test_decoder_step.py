"""The sites of an encoder-decoder: those of the encoder, and those of the step that is scored."""

from typing import Any, NamedTuple

import pytest
import torch
from edits import assert_edits_follow
from encoder_decoders import encoder_decoder, MONO, tokenizer
from tiny import exact_norms
from torch import Tensor

from crosslens import CrossEncoder, Hook, load, Pairs, Site


QUERY = "why do cats purr"
DOCUMENTS = ("cats purr when they rest", "the engine of a car , and the cats", "paris is a city")


class Twins(NamedTuple):
    """A hooked model in float64, its original, and pairs of unequal length."""

    model: CrossEncoder
    original: Any
    pairs: Pairs


@pytest.fixture(scope="module", params=["t5", "t5-1.1"])
def twins(request) -> Twins:
    original = encoder_decoder(request.param, num_decoder_layers=3)
    original.set_attn_implementation("eager")  # so that it shows its patterns
    exact_norms(original.double())
    model = load(original, tokenizer(), template=MONO, relevant=("true", "false"))
    return Twins(model, original, model.pair(QUERY, *DOCUMENTS))


def everything(model: CrossEncoder, pairs: Pairs) -> tuple[dict[Site, Tensor], Tensor]:
    with model.record(*model.sites()) as cache:
        score = model(pairs).sum()
    return dict(cache), score


def test_every_site_is_observed_whole_and_observing_changes_nothing(twins):
    model, pairs = twins.model, twins.pairs
    n, width = pairs.token.shape
    sizes = {**model.sizes, "pair": n, "label": 1, **dict.fromkeys(("pos", "dst", "src"), width)}
    plain = model(pairs)
    for site in model.sites():
        with model.record(site) as cache:
            scores = model(pairs)
        assert cache[site].shape == site.shape(sizes), site
        torch.testing.assert_close(scores, plain, rtol=0, atol=1e-10, msg=str(site))


def test_an_edit_at_every_site_moves_the_score_along_its_gradient(twins):
    model, pairs = twins.model, twins.pairs
    held, score = everything(model, pairs)
    slopes = torch.autograd.grad(score, list(held.values()))
    assert_edits_follow(model, pairs, dict(zip(held, slopes, strict=True)), least=1e-13)


def test_sites_and_slopes_are_the_originals(twins):
    """At the modules of the original's decoder, and in the patterns that it shows."""
    model, original, pairs = twins
    places = {}
    for layer, block in enumerate(original.decoder.block):
        reads, crosses, thinks = block.layer
        own, cross, dense = reads.SelfAttention, crosses.EncDecAttention, thinks.DenseReluDense
        places |= {
            ("decoder_resid_pre", layer): (reads.layer_norm, "in"),
            ("decoder_z", layer): (own.o, "in"),
            ("decoder_attn_out", layer): (own.o, "out"),
            ("decoder_resid_mid", layer): (crosses.layer_norm, "in"),
            ("cross_q", layer): (cross.q, "out"),
            ("cross_k", layer): (cross.k, "out"),
            ("cross_v", layer): (cross.v, "out"),
            ("cross_z", layer): (cross.o, "in"),
            ("cross_attn_out", layer): (cross.o, "out"),
            ("decoder_resid_mid_cross", layer): (thinks.layer_norm, "in"),
            ("decoder_mlp_post", layer): (dense.wo, "in"),
            ("decoder_mlp_out", layer): (dense.wo, "out"),
        }
    for layer, block in enumerate(original.encoder.block):
        reads, thinks = block.layer
        places |= {
            ("resid_pre", layer): (reads.layer_norm, "in"),
            ("z", layer): (reads.SelfAttention.o, "in"),
            ("mlp_post", layer): (thinks.DenseReluDense.wo, "in"),
        }
    seen: dict[Any, Tensor] = {}

    def watch(module: Any, inputs: Any, output: Any) -> None:
        seen[module, "in"], seen[module, "out"] = inputs[0], output

    handles = [m.register_forward_hook(watch) for m in {module for module, _ in places.values()}]
    start = torch.zeros(len(pairs), 1).long()
    try:
        given = original(
            input_ids=pairs.token,
            attention_mask=pairs.attended.long(),
            decoder_input_ids=start,
            output_attentions=True,
        )
    finally:
        for handle in handles:
            handle.remove()
    theirs = {Site(*site): seen[place] for site, place in places.items()}
    for layer, pattern in enumerate(given.encoder_attentions):
        theirs[Site("pattern", layer)] = pattern
    for layer, pattern in enumerate(given.cross_attentions):
        theirs[Site("cross_pattern", layer)] = pattern
    words = tokenizer()
    yes, no = (words.convert_tokens_to_ids(word) for word in ("▁true", "▁false"))
    their_score = (given.logits[:, 0, yes] - given.logits[:, 0, no]).sum()
    their_slopes = torch.autograd.grad(their_score, list(theirs.values()))

    held, score = everything(model, pairs)
    slopes = torch.autograd.grad(score, [held[site] for site in theirs])
    for (site, value), mine, slope in zip(theirs.items(), slopes, their_slopes, strict=True):
        for ours, expected in ((held[site], value), (mine, slope)):
            there = torch.ones(ours.shape, dtype=torch.bool)
            if "dst" in site.axes or "pos" in site.axes:  # padding reads, and nobody reads it
                axis = "dst" if "dst" in site.axes else "pos"
                there = ~pairs.mask(site.axes, {axis: "pad"}).expand(ours.shape)
            expected = expected.reshape(ours.shape)
            torch.testing.assert_close(
                ours[there], expected[there], rtol=1e-8, atol=1e-10, msg=str(site)
            )


def test_the_sites_of_the_step_add_up(twins):
    model, pairs = twins.model, twins.pairs
    with torch.no_grad(), model.record(*model.sites()) as cache:
        score = model(pairs)
    for layer, block in enumerate(model.head.decoder):

        def at(name: str, layer=layer) -> Tensor:
            return cache[Site(name, layer)]

        steps = [
            ("decoder_resid_pre", "decoder_attn_out", "decoder_resid_mid"),
            ("decoder_resid_mid", "cross_attn_out", "decoder_resid_mid_cross"),
            ("decoder_resid_mid_cross", "decoder_mlp_out", "decoder_resid_post"),
        ]
        sums = [(at(before) + at(added), at(after)) for before, added, after in steps]
        sums += [
            (at("decoder_result").sum(dim=2), at("decoder_attn_out")),
            (at("cross_result").sum(dim=2), at("cross_attn_out")),
            (at("cross_attn_scores").softmax(dim=-1), at("cross_pattern")),
            (block.cross_attn.mix(at("cross_pattern"), at("cross_v")), at("cross_z")),
        ]
        for ours, expected in sums:
            torch.testing.assert_close(ours, expected)
        padding = pairs.mask(("pair", "head", "step", "src"), {"src": "pad"})
        assert (at("cross_pattern") * padding).abs().max() == 0
        if layer:
            before = cache[Site("decoder_resid_post", layer - 1)]
            torch.testing.assert_close(before, at("decoder_resid_pre"))
    torch.testing.assert_close(cache[Site("logits")][:, 0], score)


def test_hook_points_bear_the_names_of_transformer_lens(twins):
    model, pairs = twins.model, twins.pairs
    _, cache = model.run_with_cache(pairs)
    assert cache["decoder.2.cross_attn.hook_pattern"].shape == (3, 4, 1, pairs.token.shape[1])
    assert cache["decoder.0.hook_resid_mid_cross"].shape == (3, 1, 24)
    assert cache["blocks.1.attn.hook_z"].shape == (3, pairs.token.shape[1], 4, 8)
    seen = []
    with model.hooks([("decoder.1.attn.hook_z", lambda z, hook: seen.append(hook.name))]):
        model(pairs)
    assert seen == ["decoder.1.attn.hook_z"]


def test_heads_of_the_decoder_are_named_beside_those_of_the_encoder(twins):
    model = twins.model
    assert len(model.heads()) == 2 * 4 and len(model.heads("cross_z")) == 3 * 4
    assert str(model.heads("cross_z")[-1]) == "2.cross_z[head=3]"
    order = [site.depth for site in model.sites()]
    assert order == sorted(order)
    names = [str(site) for site in model.sites()]
    assert names.index("1.resid_post") < names.index("final_norm")
    assert names.index("final_norm") < names.index("0.decoder_resid_pre") < names.index("pooled")


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (Site("cross_z", 3).at(), r"3.cross_z is outside the model, which has layers 0 to 2"),
        (Site("z", 2).at(), r"2.z is outside the model, which has layers 0 to 1"),
        (Site("cross_z", 0).at(head=4), "head has 4"),
        (Site("decoder_z", 0).at(step=1), "step has 1"),
    ],
)
def test_a_unit_outside_the_model_is_refused(twins, unit, message):
    hooked = twins.model.hooked(Hook(unit, torch.zeros_like))
    with pytest.raises(LookupError, match=message), hooked:
        twins.model(twins.pairs)


def test_an_encoder_has_no_sites_of_a_decoder(model):
    with pytest.raises(LookupError, match="bert has no 'cross_z'"):
        model.sites("cross_z")
