"""The identities that the table of sites promises, in every family."""

import pytest
import torch
from tiny import FAMILIES, tiny

from crosslens import Hook, load, Site


CLOSE = {"rtol": 0, "atol": 1e-10}


@pytest.fixture(scope="module", params=FAMILIES)
def run(request):
    """A model in float64, pairs of unequal length, and every site of their forward pass."""
    original, tokenizer = tiny(request.param)
    model = load(original.requires_grad_(False), tokenizer).double()
    pairs = model.pair("why do cats purr", "cats purr", "the engine of a car , and the cats")
    with model.record(*model.sites()) as cache:
        model(pairs)
    return model, pairs, cache


def equal(x, y):
    torch.testing.assert_close(x, y, **CLOSE)


def test_the_stream_begins_at_the_normalised_sum_of_the_embeddings(run):
    model, _, cache = run
    tables = [Site(name) for name in ("embed", "token_type_embed", "pos_embed")]
    total = sum(cache[table] for table in tables if table in cache)
    equal(cache[Site("full_embed")], model.embedding.norm(total))
    equal(cache[Site("resid_pre", 0)], cache[Site("full_embed")])


def test_each_block_adds_attention_then_the_mlp(run):
    model, _, cache = run
    for layer, block in enumerate(model.blocks):
        at = {site.name: x for site, x in cache.items() if site.layer == layer}
        equal(at["resid_mid"], at["resid_pre"] + at["attn_out"])
        equal(at["mlp_out"], block.mlp.w_out(at["mlp_post"]))
        if model.cfg.norm == "post":
            equal(at["normalized_resid_mid"], block.norm1(at["resid_mid"]))
            equal(at["resid_post"], at["normalized_resid_mid"] + at["mlp_out"])
            equal(at["normalized_resid_post"], block.norm2(at["resid_post"]))
            equal(at["mlp_post"], block.mlp.act(at["mlp_pre"]))
        else:
            equal(at["normalized_resid_pre"], block.norm1(at["resid_pre"]))
            equal(at["normalized_resid_mid"], block.norm2(at["resid_mid"]))
            equal(at["resid_post"], at["resid_mid"] + at["mlp_out"])
            equal(at["mlp_post"], block.mlp.act(at["mlp_pre"]) * at["mlp_pre_linear"])
        if layer + 1 < model.cfg.n_layers:
            assert torch.equal(at[model.cfg.block_output], cache[Site("resid_pre", layer + 1)])


def test_the_head_reads_the_last_stream(run):
    model, pairs, cache = run
    last = cache[Site(model.cfg.block_output, model.cfg.n_layers - 1)]
    if model.final_norm is not None:
        equal(cache[Site("final_norm")], model.final_norm(last))
        last = cache[Site("final_norm")]
    read = last[torch.arange(len(pairs)), pairs.scored]
    if not model.head.reads_scored_row:
        read = torch.stack(
            [x[there].mean(dim=0) for x, there in zip(last, pairs.attended, strict=True)]
        )
    equal(cache[Site("pooled")], model.head.hidden(read))
    equal(cache[Site("logits")], model.head.out(cache[Site("pooled")]))
    equal(model(pairs), model.relevance(cache[Site("logits")]))


def test_patterns_are_the_softmax_of_the_scores_and_never_read_padding(run):
    model, pairs, cache = run
    padding = pairs.mask(("pair", "head", "dst", "src"), {"src": "pad"})
    there = ~pairs.mask(("pair", "head", "dst", "src"), {"dst": "pad"})
    assert padding.any()
    for layer in range(model.cfg.n_layers):
        pattern = cache[Site("pattern", layer)]
        equal(pattern, cache[Site("attn_scores", layer)].softmax(dim=-1))
        equal(pattern.sum(dim=-1), torch.ones_like(pattern[..., 0]))
        assert (pattern * (padding & there)).abs().max() == 0


def test_z_is_what_the_pattern_reads_and_results_add_up_to_attn_out(run):
    model, _, cache = run
    for layer, block in enumerate(model.blocks):
        pattern, v = cache[Site("pattern", layer)], cache[Site("v", layer)]
        z, result = cache[Site("z", layer)], cache[Site("result", layer)]
        v = v.repeat_interleave(z.shape[2] // v.shape[2], dim=2)  # queries may share values
        equal(z, torch.einsum("phij,pjhd->pihd", pattern, v))
        equal(result, torch.einsum("pihd,hdm->pihm", z, block.attn.W_O))
        bias = 0 if block.attn.out.bias is None else block.attn.out.bias
        equal(result.sum(dim=2) + bias, cache[Site("attn_out", layer)])


def test_weights_by_head_make_q_k_and_v(run):
    model, _, cache = run
    for layer, block in enumerate(model.blocks):
        attn = block.attn
        name = "resid_pre" if model.cfg.norm == "post" else "normalized_resid_pre"
        x = cache[Site(name, layer)]
        for site, weight, linear in (
            ("q", attn.W_Q, attn.q),
            ("k", attn.W_K, attn.k),
            ("v", attn.W_V, attn.v),
        ):
            made = torch.einsum("pim,hmd->pihd", x, weight)
            if linear.bias is not None:
                made = made + linear.bias.reshape(model.cfg.n_heads, model.cfg.d_head)
            equal(made, cache[Site(site, layer)])


def test_silencing_a_head_by_its_pattern_its_z_or_its_result_is_the_same(run):
    model, pairs, _ = run
    plain = model(pairs)
    for layer in range(model.cfg.n_layers):
        scores = []
        for site in ("pattern", "z", "result"):
            with model.hooked(Hook(Site(site, layer).at(head=2), torch.zeros_like)):
                scores.append(model(pairs))
        equal(scores[0], scores[1])
        equal(scores[0], scores[2])
        assert (scores[0] - plain).abs().max() > 1e-5


def test_attention_scores_can_be_forbidden_before_the_softmax(run):
    """The knock-out that a pattern alone cannot do: what is left still sums to 1."""
    model, pairs, _ = run
    unit = Site("attn_scores", 0).at(dst="query", src="document")
    lowest = torch.finfo(torch.float64).min
    with (
        model.hooked(Hook(unit, lambda scores: torch.full_like(scores, lowest))),
        model.record(Site("pattern", 0)) as cache,
    ):
        model(pairs)
    pattern = cache[Site("pattern", 0)]
    assert (pattern * pairs.mask(unit.site.axes, unit.named)).max() == 0
    equal(pattern.sum(dim=-1), torch.ones_like(pattern[..., 0]))
