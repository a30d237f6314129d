"""Integrated gradients against captum, and what they must add up to."""

import inspect

import pytest
import torch
from tiny import tiny

from crosslens import CrossEncoder, load, Pairs, Site
from crosslens.attribution import padding_baseline
from crosslens.attribution.words.gradients import gradient_times_input, integrated_gradients
from crosslens.attribution.words.rollout import attention_rollout
from crosslens.batching.batches import TOKENS_PER_BATCH


SPECIAL = ("cls", "sep1", "sep2")


def test_gradients_are_captums(family: str) -> None:
    captum = pytest.importorskip("captum.attr")
    original, tokenizer = tiny(family)
    model = load(original, tokenizer)
    pairs = model.pair("why do cats purr", "cats purr when they rest", "the engine of a car")
    pad = tokenizer.pad_token_id
    empty = pairs.token.masked_fill(pairs.where("query", "document"), pad)
    position = torch.arange(pairs.token.shape[1])[None].expand_as(pairs.token)
    options = {
        "attention_mask": pairs.attended.long(),
        # else the padding of the baseline would move RoBERTa's positions
        "position_ids": position + pad + 1 if "roberta" in family else position,
        "token_type_ids": pairs.token_type,
    }
    if getattr(original.config, "type_vocab_size", 0) < 2:
        del options["token_type_ids"]
    taken = inspect.signature(original.forward).parameters

    def score(ids: torch.Tensor) -> torch.Tensor:
        n = len(ids) // len(pairs)
        many = {name: value.repeat(n, 1) for name, value in options.items() if name in taken}
        return original(ids, **many).logits[:, 0]

    base = original.base_model
    tables = getattr(base, "embeddings", None) or base.embed_tokens
    layer = getattr(base, "embeddings_project", tables)
    theirs = captum.LayerIntegratedGradients(score, layer).attribute(pairs.token, empty, n_steps=40)
    theirs = theirs.sum(dim=-1) * pairs.attended
    ours = integrated_gradients(
        model, pairs, padding_baseline(model, pairs, SPECIAL, pad_id=pad), steps=40
    )
    assert torch.allclose(ours.token, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))

    theirs = captum.LayerGradientXActivation(score, layer).attribute(pairs.token).detach()
    theirs = theirs.sum(dim=-1) * pairs.attended
    ours = gradient_times_input(model, pairs)
    assert torch.allclose(ours.token, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def test_integrated_gradients_add_up_and_refine_until_they_do(any_model: CrossEncoder) -> None:
    model = any_model.double()
    pairs = model.pair("why do cats purr", "cats purr when they rest", "the engine of a car")
    rough = integrated_gradients(model, pairs, layer=1, steps=1)
    fine = integrated_gradients(model, pairs, layer=1, steps=1, tolerance=1e-6)
    assert float(rough.error.max()) > 1e-6
    assert float(fine.error.max()) <= 1e-6
    assert fine.token[~pairs.attended].eq(0).all()
    chance = integrated_gradients(model, pairs, layer=1, tolerance=1e-6, of=torch.sigmoid)
    empty = padding_baseline(model, pairs, SPECIAL)
    with torch.no_grad(), model.tapped([(Site("embed"), lambda _: empty)]):
        before = model(pairs).sigmoid()
    with torch.no_grad():
        change = model(pairs).sigmoid() - before
    torch.testing.assert_close(chance.token.sum(dim=1), change, rtol=1e-5, atol=1e-9)


def test_the_steps_told_are_those_of_the_last_pass(model: CrossEncoder, pairs: Pairs) -> None:
    assert integrated_gradients(model, pairs, layer=1, steps=8).steps == 8
    assert integrated_gradients(model, pairs, layer=1, steps=8, tolerance=10.0).steps == 8
    out_of_reach = integrated_gradients(model, pairs, steps=8, tolerance=0.0, most_steps=20)
    assert out_of_reach.steps == 16


def test_gradient_times_input_is_one_step_from_zero(model: CrossEncoder, pairs: Pairs) -> None:
    model = model.double()
    found = gradient_times_input(model, pairs, layer=2)
    site = model.sites("resid_pre")[2]
    with model.record(site) as cache:
        model(pairs)
    stream, step = cache[site].detach(), 1e-5
    for place in (1, 4):
        moved = stream.clone()
        moved[:, place] *= 1 - step
        with torch.no_grad():
            fall = (model(pairs) - model.suffix(pairs, 2, moved)) / step
        assert torch.allclose(found.token[:, place], fall, rtol=1e-3, atol=1e-9)


def test_what_cannot_be_integrated_is_refused(model: CrossEncoder, pairs: Pairs) -> None:
    with pytest.raises(LookupError, match="no layer 3: the model has layers 0 to 2"):
        integrated_gradients(model, pairs, layer=3)
    with pytest.raises(LookupError, match="no layer -1"):
        gradient_times_input(model, pairs, layer=-1)
    with pytest.raises(ValueError, match="steps=0"):
        integrated_gradients(model, pairs, steps=0)
    short = padding_baseline(model, pairs)[:, :-1]
    with pytest.raises(ValueError, match="the baseline has shape"):
        integrated_gradients(model, pairs, short)


def test_pairs_of_like_length_need_not_share_a_batch(
    model: CrossEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = "cats purr when they rest and the engine of a car is warm in winter and cold in may"
    pairs = model.pair("why do cats purr", document, f"{document} too")
    assert len(pairs.like_lengths()) == 1
    methods = (gradient_times_input, integrated_gradients, attention_rollout)
    together = [method(model, pairs).token for method in methods]
    monkeypatch.setitem(TOKENS_PER_BATCH, "cpu", 1)
    for method, whole in zip(methods, together, strict=True):
        assert torch.allclose(method(model, pairs).token, whole, atol=1e-5)
