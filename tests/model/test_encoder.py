"""Hooks act as TransformerLens users expect, and leave no trace."""

from dataclasses import replace

import pytest
import torch
from tiny import tiny
from transformer_lens import ActivationCache

from crosslens import (
    Config,
    CrossEncoder,
    head,
    Hook,
    Hooked,
    load,
    neuron,
    NotMeasurable,
    PairCache,
    Site,
)
from crosslens.pairs import NOWHERE, scored_row


Z = "blocks.1.attn.hook_z"


def silence_head_1(z, hook):
    z[:, :, 1] = 0
    return z


def zero(unit) -> Hook:
    return Hook(unit, torch.zeros_like)


def traces(model: CrossEncoder) -> list[str]:
    """Hook points that somebody still holds."""
    attached = [name for name, point in model.hook_dict.items() if point.has_hooks()]
    raw = [name for name, point in model.hook_dict.items() if point._forward_hooks]
    return attached + raw


@pytest.fixture
def frozen() -> CrossEncoder:
    original, tokenizer = tiny("bert")
    return load(original.requires_grad_(False), tokenizer)


# --- TransformerLens' idiom -----------------------------------------------------------------


def test_run_with_hooks_edits_in_place_as_ours_do_out_of_place(frozen, pairs):
    plain = frozen(pairs)
    edited = frozen.run_with_hooks(pairs, fwd_hooks=[(Z, silence_head_1)])
    with frozen.hooked(zero(head(1, 1))):
        torch.testing.assert_close(frozen(pairs), edited)
    assert (edited - plain).abs().min() > 1e-4
    assert torch.equal(frozen(pairs), plain) and not traces(frozen)


def test_a_filter_hooks_every_point_it_names(frozen, pairs):
    seen = []
    frozen.run_with_hooks(
        pairs,
        fwd_hooks=[(lambda name: name.endswith("hook_z"), lambda z, hook: seen.append(hook.name))],
    )
    assert seen == [f"blocks.{layer}.attn.hook_z" for layer in range(3)]


@pytest.mark.parametrize(
    "names, expected",
    [
        (Z, [Z]),
        ([Z, "hook_embed"], ["hook_embed", Z]),
        (lambda name: "hook_pattern" in name, [f"blocks.{i}.attn.hook_pattern" for i in range(3)]),
    ],
)
def test_run_with_cache_keeps_what_it_is_asked_for(frozen, pairs, names, expected):
    scores, cache = frozen.run_with_cache(pairs, names_filter=names)
    assert isinstance(cache, ActivationCache)
    assert sorted(cache.keys()) == sorted(expected)
    torch.testing.assert_close(scores, frozen(pairs))
    assert not traces(frozen)


def test_run_with_cache_knows_short_names(frozen, pairs):
    _, cache = frozen.run_with_cache(pairs)
    with frozen.record("z", "pattern", "mlp_post", "embed", "normalized_resid_mid") as ours:
        frozen(pairs)
    assert torch.equal(cache["z", 1], ours[Site("z", 1)])
    assert torch.equal(cache["z", -1], ours[Site("z", 2)])
    assert torch.equal(cache[Z], ours[Site("z", 1)])
    assert torch.equal(cache["pattern", 0], ours[Site("pattern", 0)])
    assert torch.equal(cache["post", 0], ours[Site("mlp_post", 0)])
    assert torch.equal(cache["embed"], ours[Site("embed")])
    assert torch.equal(cache["normalized_resid_mid", 2], ours[Site("normalized_resid_mid", 2)])


def test_run_with_cache_computes_per_head_results_only_when_asked(frozen, pairs):
    _, cache = frozen.run_with_cache(pairs)
    assert len(cache) == len(frozen.hook_dict) - 3
    _, cache = frozen.run_with_cache(pairs, names_filter="blocks.0.attn.hook_result")
    assert cache["result", 0].shape == (*pairs.token.shape, 4, 24)


def test_one_pair_without_its_batch_dimension(frozen, pairs):
    _, cache = frozen.run_with_cache(pairs.take([0]), remove_batch_dim=True)
    assert not cache.has_batch_dim and cache["z", 0].dim() == 3


def test_backward_hooks_see_the_gradient(model, pairs):
    seen = {}

    def keep(gradient, hook):
        seen[hook.name] = gradient.clone()

    with model.record(Site("z", 1)) as cache, model.hooks(bwd_hooks=[(Z, keep)]):
        score = model(pairs).sum()
        (expected,) = torch.autograd.grad(score, cache[Site("z", 1)], retain_graph=True)
        score.backward()
    torch.testing.assert_close(seen[Z], expected)


def test_hooks_is_a_context(frozen, pairs):
    plain = frozen(pairs)
    with frozen.hooks(fwd_hooks=[(Z, silence_head_1)]) as hooked:
        assert hooked is frozen
        assert not torch.equal(frozen(pairs), plain)
    assert torch.equal(frozen(pairs), plain)


def test_add_hook_stays_until_hooks_are_reset(frozen, pairs):
    plain = frozen(pairs)
    frozen.add_hook(Z, silence_head_1)
    assert not torch.equal(frozen(pairs), plain)
    frozen.reset_hooks()
    assert torch.equal(frozen(pairs), plain)


@pytest.mark.parametrize("wrong", ["blocks.1.attn.hook_zz", "blocks.9.attn.hook_z", "hook_nothing"])
def test_an_unknown_name_is_an_error_with_near_matches(frozen, pairs, wrong):
    near = "did you mean .*hook_z" if "attn" in wrong else "hook"
    with pytest.raises(LookupError, match=near):
        frozen.run_with_hooks(pairs, fwd_hooks=[(wrong, silence_head_1)])
    with pytest.raises(LookupError, match=near):
        frozen.run_with_cache(pairs, names_filter=[Z, wrong])
    with pytest.raises(LookupError, match=near):
        frozen.add_hook(wrong, silence_head_1)
    with pytest.raises(LookupError), frozen.hooks(bwd_hooks=[(wrong, silence_head_1)]):
        pass
    with pytest.raises(LookupError, match="matches no hook point"):
        frozen.run_with_cache(pairs, names_filter=lambda name: wrong in name)
    assert not traces(frozen)


def test_a_hook_that_never_fires_is_an_error(frozen, pairs):
    with frozen.record(Site("resid_pre", 2)) as cache:
        frozen(pairs)
    resid = cache[Site("resid_pre", 2)]
    with pytest.raises(RuntimeError, match=f"never passed {Z}"):  # noqa: SIM117
        with frozen.hooks(fwd_hooks=[(Z, silence_head_1)]):
            frozen.suffix(pairs, 2, resid)
    with pytest.raises(RuntimeError, match="never passed 1.z"):  # noqa: SIM117
        with frozen.hooked(zero(head(1, 1))):
            frozen.suffix(pairs, 2, resid)
    with frozen.hooked(zero(head(1, 1))), frozen.hooks(fwd_hooks=[(Z, silence_head_1)]):
        pass  # where the model did not run, nothing was missed
    assert not traces(frozen)


# --- our own contexts ------------------------------------------------------------------------


def test_the_model_is_what_methods_ask_for(model):
    assert isinstance(model, Hooked)
    assert not isinstance(torch.nn.Linear(1, 1), Hooked)


def test_nested_contexts_restore_each_level(frozen, pairs):
    plain = frozen(pairs)
    with frozen.hooked(zero(head(0, 1))):
        once = frozen(pairs)
        with frozen.hooked(zero(head(1, 2))), frozen.record("z") as cache:
            twice = frozen(pairs)
            assert cache[head(0, 1)].abs().max() == 0 == cache[head(1, 2)].abs().max()
        assert torch.equal(frozen(pairs), once)
    assert torch.equal(frozen(pairs), plain)
    assert len({scores[0].item() for scores in (plain, once, twice)}) == 3


def test_hooks_at_one_site_act_in_the_order_given(frozen, pairs):
    unit = head(1, 1)
    double, add = Hook(unit, lambda z: 2 * z), Hook(unit, lambda z: z + 1)
    scores = {}
    for name, hooks in {"2z+1": (double, add), "2(z+1)": (add, double)}.items():
        with frozen.hooked(*hooks):
            scores[name] = frozen(pairs)
    with frozen.hooked(Hook(unit, lambda z: 2 * z + 1)):
        torch.testing.assert_close(frozen(pairs), scores["2z+1"])
    assert not torch.allclose(scores["2z+1"], scores["2(z+1)"])


@pytest.mark.parametrize("where", ["inside the block", "inside a hook"])
def test_an_exception_leaves_no_trace(frozen, pairs, where):
    plain = frozen(pairs)

    def fail(x):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):  # noqa: SIM117
        with frozen.record("z"), frozen.hooked(zero(head(0, 1)), Hook(head(1, 1), fail)):
            if where == "inside the block":
                fail(None)
            frozen(pairs)
    with pytest.raises(ZeroDivisionError):
        frozen.run_with_hooks(pairs, fwd_hooks=[(Z, lambda z, hook: fail(z))])
    assert not traces(frozen) and not frozen.current
    assert torch.equal(frozen(pairs), plain)


def test_a_permanent_hook_of_the_user_survives_ours(frozen, pairs):
    frozen.add_perma_hook(Z, silence_head_1)
    theirs = frozen(pairs)
    with frozen.hooked(zero(head(0, 0))), frozen.record("z"):
        assert not torch.equal(frozen(pairs), theirs)
    frozen.run_with_cache(pairs)
    frozen.run_with_hooks(pairs, fwd_hooks=[(Z, lambda z, hook: z + 1)])
    assert torch.equal(frozen(pairs), theirs)
    frozen.reset_hooks(including_permanent=True)
    assert not torch.equal(frozen(pairs), theirs)


def test_ours_survive_theirs_and_a_reset_in_between(frozen, pairs):
    with frozen.hooked(zero(head(0, 0))):
        edited = frozen(pairs)
        frozen.run_with_cache(pairs)
        assert torch.equal(frozen(pairs), edited)
    with frozen.hooked(zero(head(0, 0))):
        frozen(pairs)
        frozen.reset_hooks()  # what a user may do at any time
    assert not traces(frozen)


def test_an_identity_norm_does_not_let_an_edit_in_place_reach_the_stream():
    """ModernBERT's first block reads the stream itself; only what attention reads is edited."""
    original, tokenizer = tiny("modernbert")
    model = load(original.requires_grad_(False), tokenizer)
    pairs = model.pair("why do cats purr", "cats purr when they rest")

    def silence(x, hook):
        x[:] = 0
        return x

    name = "blocks.0.hook_normalized_resid_pre"
    in_place = model.run_with_hooks(pairs, fwd_hooks=[(name, silence)])
    with model.hooked(zero(Site("normalized_resid_pre", 0).at())):
        torch.testing.assert_close(model(pairs), in_place)


@pytest.mark.parametrize(
    "unit, message",
    [
        (head(3, 0), "3.z is outside the model, which has layers 0 to 2"),
        (head(1, 4), r"1.z\[head=4\] is outside the model: head has 4"),
        (neuron(1, 20), r"1.mlp_post\[neuron=20\] is outside the model: neuron has 20"),
        (Site("resid_pre", 0).at(pos=99), "outside the model: pos has"),
        (Site("normalized_resid_pre", 0).at(), "bert has no 'normalized_resid_pre'; its sites"),
        (Site("final_norm").at(), "bert has no 'final_norm'"),
        (Site("z").at(), "'z' stands in every block: give it a layer"),
        (Site("zz", 1).at, "no site is called 'zz'; did you mean z"),
        (Site("resid_pre", 0).at(pos="D_inj"), "no token is called 'D_inj'"),
    ],
)
def test_a_unit_outside_the_model_is_refused(model, pairs, unit, message):
    with pytest.raises(LookupError, match=message):  # noqa: SIM117
        with model.hooked(zero(unit() if callable(unit) else unit)):
            model(pairs)
    assert not traces(model)


def test_sites_are_listed_as_they_are_computed(any_model):
    sites = any_model.sites()
    pairs = any_model.pair("why do cats purr", "cats purr when they rest")
    passed = []
    taps = [(site, lambda x, site=site: passed.append(site)) for site in sites]
    with any_model.tapped(taps):
        any_model(pairs)
    assert len(passed) == len(sites) == len(set(sites))
    assert [s.layer for s in passed] == [s.layer for s in sites]
    assert any_model.sites("z") == [Site("z", layer) for layer in range(3)]
    assert any_model.heads() == [head(layer, i) for layer in range(3) for i in range(4)]
    with pytest.raises(LookupError, match="no site is called 'zed'"):
        any_model.sites("zed")
    with pytest.raises(LookupError, match="no site is called"), any_model.record("patern"):
        pass


def test_score_takes_documents_in_any_number_and_keeps_their_order(model):
    documents = ["cats purr", "the engine of a car and the river", "paris", "cats sleep long"] * 3
    scores = model.score("why do cats purr", documents, batch=5)
    one_by_one = torch.cat([model(model.pair("why do cats purr", text)) for text in documents])
    torch.testing.assert_close(scores, one_by_one.detach())
    assert not scores.requires_grad


def test_a_model_says_what_it_is(model):
    assert "bert, 3 layers x 4 heads, d_model 24, score = the logit" in repr(model)


def test_a_model_that_reads_cls_needs_no_other_row_at_the_end(any_model):
    pairs = any_model.pair("why do cats purr", "cats purr", "the engine of a car , and the town")
    last = any_model.sites(any_model.cfg.block_output)[-1]
    with torch.no_grad(), any_model.record(last) as cache:
        scores = any_model(pairs)
        other = cache[last].clone()
        other[~pairs.is_scored] *= -1
        moved = any_model.suffix(pairs, any_model.cfg.n_layers, other)
        assert torch.allclose(moved, scores, atol=1e-6) == any_model.reads_scored_row
        if any_model.reads_scored_row:
            row = scored_row(cache[last], pairs.scored)
            alone = any_model.suffix(pairs, any_model.cfg.n_layers, row)
            torch.testing.assert_close(alone, scores)


def test_a_model_says_its_shape_and_gives_a_cache_by_public_names(model, pairs):
    assert isinstance(model.cfg, Config) and model.cfg.n_layers == len(model.blocks)
    _, cache = model.run_with_cache(pairs)
    assert isinstance(cache, PairCache) and cache["z", 0].shape[0] == len(pairs)


def test_scores_are_activated_one_by_one_as_labels_of_their_own(model):
    scores = torch.tensor([-2.0, 0.0, 3.0])
    assert torch.equal(model.activated(scores), scores.sigmoid())
    model.activation = torch.nn.Softmax(dim=-1)  # over the labels of a pair, never over pairs
    assert torch.equal(model.activated(scores), torch.ones(3))


def test_autocast_is_refused_and_a_block_without_it_is_not(model, pairs):
    """It would compute in 16 bit what was loaded in float32, and say nothing."""
    expected = model(pairs)
    with model.record("resid_pre") as cache:
        model(pairs)
    stream = cache.layers("resid_pre")[1]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for run in (
            lambda: model(pairs),
            lambda: model.suffix(pairs, 1, stream),
            lambda: model.relay(1, 1, {"resid_pre": stream}, {}),
            lambda: model.replay(pairs),
        ):
            with pytest.raises(RuntimeError, match=r"torch.autocast\('cpu'\) is on.*bfloat16"):
                run()
        with torch.autocast("cpu", enabled=False):
            assert torch.equal(model(pairs), expected)


def test_pairs_without_a_scored_row_are_refused_where_one_is_read(model, pairs):
    rowless = replace(pairs, scored=torch.full_like(pairs.scored, NOWHERE))
    for run in (model, model.replay, lambda some: model.suffix(some, 3, torch.zeros(2, 21, 24))):
        with pytest.raises(NotMeasurable, match="no scored row"):
            run(rowless)
