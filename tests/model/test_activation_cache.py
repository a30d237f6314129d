"""TransformerLens' idiom: each public method and option is right for this model, or refused."""

import inspect
import threading

import pandas as pd
import pytest
import torch
from transformer_lens.ActivationCache import ActivationCache
from transformer_lens.patching import generic_activation_patch, layer_head_vector_patch_setter

from crosslens import ablate, patch, sweep


REFUSED = {
    "accumulated_resid": "model.block_outputs",
    "decompose_resid": "model.block_outputs",
    "get_full_resid_decomposition": "model.block_outputs",
    "logit_lens": "direct_attribution",
    "logit_attrs": "direct_attribution",
    "apply_ln_to_stack": "norm1",
    "get_neuron_results": "conductance",
    "stack_neuron_results": "conductance",
    "ssm_layers": "model.sites",
    "compute_ssm_effective_attention": "model.sites",
    "compute_ssm_state": "model.sites",
}
RIGHT = {
    *("apply_slice_to_batch_dim", "compute_head_results", "items", "keys", "remove_batch_dim"),
    *("stack_activation", "stack_head_results", "to", "toggle_autodiff", "values"),
}


@pytest.fixture
def frozen(model):
    return model.requires_grad_(False)


def test_every_public_method_of_the_cache_is_right_or_refused():
    methods = inspect.getmembers(ActivationCache, inspect.isfunction)
    public = {name for name, _ in methods if not name.startswith("_")}
    assert public == REFUSED.keys() | RIGHT


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_method_names_what_to_use(frozen, pairs, name):
    _, cache = frozen.run_with_cache(pairs)
    with pytest.raises(NotImplementedError, match=REFUSED[name]):
        getattr(cache, name)()


def test_what_heads_write_adds_up_to_what_attention_adds(frozen, pairs):
    _, cache = frozen.run_with_cache(pairs)
    stack, labels = cache.stack_head_results(return_labels=True)
    n = frozen.cfg.n_heads
    assert labels[:2] == ["L0H0", "L0H1"] and len(stack) == n * frozen.cfg.n_layers
    bias = frozen.blocks[1].attn.out.bias
    torch.testing.assert_close(
        stack[n : 2 * n].sum(dim=0) + bias, cache["attn_out", 1], rtol=0, atol=1e-5
    )
    for wrong in ({"incl_remainder": True}, {"apply_ln": True}):
        with pytest.raises(NotImplementedError, match="use|model"):
            cache.stack_head_results(**wrong)


def test_some_pairs_of_a_cache_are_refused_alike(frozen, pairs):
    _, cache = frozen.run_with_cache(pairs)
    one = cache.apply_slice_to_batch_dim(0)
    assert torch.equal(one["z", 1], cache["z", 1][0])
    with pytest.raises(NotImplementedError):
        one.accumulated_resid()
    assert torch.equal(cache.stack_activation("z"), torch.stack([cache["z", i] for i in range(3)]))


def test_a_slice_of_positions_leaves_the_logits_alone(frozen, pairs):
    _, whole = frozen.run_with_cache(pairs)
    _, some = frozen.run_with_cache(pairs, pos_slice=(1, 3))
    assert some["z", 0].shape[1] == 2
    assert torch.equal(some["pattern", 0], whole["pattern", 0][:, :, 1:3])
    for name in ("head.hook_logits", "head.hook_pooled"):
        assert torch.equal(some[name], whole[name])


@pytest.mark.parametrize("option", ["remove_batch_dim", "incl_bwd"])
def test_an_option_for_one_pair_refuses_two(model, pairs, option):
    with pytest.raises(ValueError, match=r"is for one pair, not 2: pairs.take"):
        model.run_with_cache(pairs, **{option: True})
    _, cache = model.run_with_cache(pairs.take([0]), **{option: True})
    assert ("blocks.0.attn.hook_z_grad" in cache) == (option == "incl_bwd")


def test_gradients_of_weights_that_ask_for_none_are_refused_with_the_way_out(frozen, pairs):
    one = pairs.take([0])
    with pytest.raises(ValueError, match=r"model.requires_grad_\(True\) first"):
        frozen.run_with_cache(one, incl_bwd=True)
    assert not any(point.has_hooks() for point in frozen.hook_dict.values())
    _, cache = frozen.requires_grad_(True).run_with_cache(one, incl_bwd=True)
    assert "blocks.0.attn.hook_z_grad" in cache


def test_an_option_we_lack_and_a_text_are_refused(frozen, pairs):
    with pytest.raises(TypeError, match="stop_at_layer"):
        frozen.run_with_cache(pairs, stop_at_layer=1)
    for given in ("a canoe", ["canoe", "a canoe"], pairs.token):
        with pytest.raises(TypeError, match=r"model.pair\(query, document\)"):
            frozen.run_with_cache(given)
        with pytest.raises(TypeError, match=r"model.pair\(query, document\)"):
            frozen.run_with_hooks(given)


def test_caching_hooks_know_their_names(frozen, pairs):
    with pytest.raises(LookupError, match="no hook point 'hook_zz'"):
        frozen.add_caching_hooks("hook_zz")
    cache = frozen.add_caching_hooks(("blocks.0.attn.hook_z",))
    frozen(pairs)
    frozen.reset_hooks()
    assert list(cache) == ["blocks.0.attn.hook_z"]


def test_plain_torch_hooks_fire_at_every_point(frozen, pairs):
    seen = {}
    handles = [
        point.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
        for name, point in frozen.hook_dict.items()
    ]
    hooked = frozen(pairs)
    for handle in handles:
        handle.remove()
    _, cache = frozen.run_with_cache(pairs, names_filter=lambda name: True)
    assert seen.keys() == cache.keys()
    for name, value in seen.items():
        torch.testing.assert_close(value, cache[name])
    torch.testing.assert_close(hooked, frozen(pairs), rtol=0, atol=1e-6)
    handle = frozen.hook_dict["blocks.2.attn.hook_pattern"].register_forward_hook(
        lambda _, __, out: out * 0
    )
    assert not torch.allclose(frozen(pairs), hooked)
    handle.remove()


def test_it_is_in_evaluation_mode(any_model):
    assert not [name for name, module in any_model.named_modules() if module.training]


def test_hooks_of_one_thread_leave_the_scores_of_another(frozen, pairs):
    plain, found = frozen(pairs), []

    def score():
        found.append(frozen(pairs))
        with frozen.record("z") as cache:
            frozen(pairs)
        found.append(len(cache))

    def in_thread():
        thread = threading.Thread(target=score)
        thread.start()
        thread.join()
        return found[-2:]

    with frozen.hooked(*[ablate(unit) for unit in frozen.heads()]):
        edited = frozen(pairs)
        scores, n_sites = in_thread()
    torch.testing.assert_close(scores, plain, rtol=0, atol=1e-6)
    assert n_sites == frozen.cfg.n_layers
    assert not torch.allclose(edited, plain)

    zero = [("blocks.0.attn.hook_z", lambda z, hook: z * 0)]
    with frozen.hooks(fwd_hooks=zero), frozen.scored_row_only():
        edited = frozen(pairs)
        scores, _ = in_thread()
    torch.testing.assert_close(scores, plain, rtol=0, atol=1e-6)
    assert not torch.allclose(edited, plain)


def test_transformer_lens_own_patching_agrees_with_ours(frozen):
    base, more = (
        frozen.pair("why do cats purr", "cats purr"),
        frozen.pair("why do cats purr", "purr cats"),
    )
    _, cache = frozen.run_with_cache(more)
    heads = pd.DataFrame(
        [dict(unit.coordinates) | {"layer": unit.site.layer} for unit in frozen.heads()]
    )
    theirs = generic_activation_patch(
        frozen,
        base,
        cache,
        lambda scores: scores[0],
        layer_head_vector_patch_setter,
        "z",
        index_df=heads[["layer", "head"]],
    )
    ours = sweep(frozen, base, [patch(unit, recorded(frozen, more)) for unit in frozen.heads()])
    torch.testing.assert_close(theirs.flatten(), ours[:, 0], rtol=0, atol=1e-6)


def recorded(model, pairs):
    with model.record("z") as cache:
        model(pairs)
    return cache


def test_columns_of_a_data_frame_are_pairs(frozen):
    frame = pd.DataFrame({"query": ["why", "do"], "text": ["cats purr", "a car"]}, index=[7, 3])
    pairs = frozen.pairs(frame["query"], frame["text"])
    assert torch.equal(pairs.token, frozen.pairs(["why", "do"], ["cats purr", "a car"]).token)
