"""The methods on an encoder-decoder: exact over the encoder, as the decoder step is the head."""

import pytest
import torch
from encoder_decoders import encoder_decoder, MONO, tokenizer
from tiny import exact_norms
from torch import Tensor

from crosslens import (
    attribution_patching,
    bottleneck,
    conductance,
    Contrast,
    direct_attribution,
    direct_path,
    edge_attribution,
    head,
    Hook,
    load,
    NotMeasurable,
    patch,
    patching,
    path,
    path_patching,
    Site,
    sweep,
    Unit,
)
from crosslens.attention import attention_follows, attention_shares, qk_map
from crosslens.attribution import Noise, padding_baseline
from crosslens.words import attention_rollout, hide_one_out


QUERY = "why do cats purr"
BASE = ("the dog rest in the town .", "bananas are rich in potassium , dog")
MORE = ("the cats purr in the town .", "bananas are rich in potassium , cats")


@pytest.fixture(scope="module", params=["t5", "t5-1.1"])
def model(request):
    original = encoder_decoder(request.param)
    exact_norms(original.double())
    return load(original, tokenizer(), template=MONO, relevant=("true", "false"))


@pytest.fixture(scope="module")
def contrast(model) -> Contrast:
    return Contrast.between(model.pair(QUERY, *BASE), model.pair(QUERY, *MORE), "TF")


def kinds_of_parts(model) -> list[Unit]:
    """Every site whole, and parts of those that have heads, neurons or tokens."""
    heads = [site.at(head=2) for site in model.sites() if "head" in site.axes]
    words = [site.at(pos="document") for site in model.sites() if "pos" in site.axes]
    read = [site.at(src="query") for site in model.sites() if "src" in site.axes]
    return [*(site.at() for site in model.sites()), *heads, *words, *read]


@torch.no_grad()
def hooked(model, pairs, *hooks) -> Tensor:
    with model.hooked(*hooks):
        return model(pairs)


def test_a_sweep_is_one_full_pass_per_cell_at_every_site(model, contrast):
    pairs = contrast.base
    cells = [[Hook(unit, lambda x: x.flip(0) * 0.5 + 0.3)] for unit in kinds_of_parts(model)]
    edits = [Hook(unit, torch.zeros_like) for unit in (head(0, 1), head(1, 2, "cross_z"))]
    cells += [edits, [edits[1], Hook(Site("decoder_mlp_post", 0).at(neuron=3), torch.zeros_like)]]
    naive = torch.stack([hooked(model, pairs, *cell) for cell in cells])
    assert (naive.amax(dim=0) - naive.amin(dim=0)).min() > 0.1
    torch.testing.assert_close(sweep(model, pairs, cells), naive, rtol=0, atol=1e-10)


def test_patching_restores_what_hooked_passes_restore(model, contrast):
    units = [*model.heads(), *model.heads("cross_z"), *model.heads("cross_k")]
    with torch.no_grad(), model.record(*model.sites()) as source:
        target = model(contrast.more)
    plain = hooked(model, contrast.base)
    effects = patching(model, contrast, units, least=1e-6)
    for unit, found in zip(units, effects.recovered, strict=True):
        edited = hooked(model, contrast.base, patch(unit, source))
        torch.testing.assert_close(found, (edited - plain) / (target - plain), msg=str(unit))
    whole = patching(model, contrast, [Site("final_norm").at(), Site("pooled").at()], least=1e-6)
    torch.testing.assert_close(whole.recovered, torch.ones(2, 2).double())


def test_where_the_score_is_linear_the_estimate_is_the_exact_effect():
    """Documents that differ in one word of nearly the same embedding, and scores magnified."""
    original, words, apart = encoder_decoder().double(), tokenizer(), 1e-6
    exact_norms(original)
    model = load(original, words, template=MONO, relevant=("true", "false"))
    dog, snake = (words.convert_tokens_to_ids(word) for word in ("▁dog", "▁snake"))
    with torch.no_grad():
        drawn = torch.randn(24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        model.W_E[snake] = model.W_E[dog] + apart * drawn
        model.head.out.weight /= apart
    texts = [text.replace("dog", "snake") for text in BASE]
    near = Contrast.between(model.pair(QUERY, *BASE), model.pair(QUERY, *texts), "one word")
    units = kinds_of_parts(model)
    exact = patching(model, near, units).recovered
    estimate = attribution_patching(model, near, units).recovered
    scale = exact.abs().max().item()
    assert scale > 0.5
    torch.testing.assert_close(estimate, exact, rtol=0, atol=1e-4 * scale)
    assert exact[units.index(Site("decoder_resid_pre", 0).at())].abs().max() < 1e-6


def test_conductance_adds_up_to_the_change_in_score_behind_the_encoder_too(model, contrast):
    pairs = contrast.base
    baseline = padding_baseline(model, pairs)
    cuts = [*model.sites("resid_pre"), Site("final_norm"), Site("pooled")]
    others = [Site("decoder_resid_pre", 0), Site("cross_z", 1), Site("decoder_mlp_post", 1)]
    flow = conductance(model, pairs, baseline, [*cuts, *others], steps=96)
    within = 1e-6 if "mlp_pre_linear" in {site.name for site in model.sites()} else 1e-2
    for cut in cuts:  # ReLU neurons bend the path, and many steps are needed to follow it
        total = flow[cut].flatten(1).sum(dim=1)
        torch.testing.assert_close(total, flow.change, rtol=within, atol=0, msg=str(cut))
    assert flow[others[0]].abs().max() < 1e-12  # which no word moves
    assert flow[others[1]].abs().max() > 0 and flow[others[2]].abs().max() > 0


def test_an_open_bottleneck_lets_everything_pass_and_a_shut_one_little(model, contrast):
    pairs = contrast.more
    outputs = model.block_outputs()
    with torch.no_grad(), model.record(*outputs) as cache:
        model(pairs)
    noises = [Noise.of(cache[site], pairs) for site in outputs]
    free, dear = (
        bottleneck(model, pairs, noises, beta=beta, steps=8, repeats=2).nats for beta in (0.0, 50.0)
    )
    assert free.shape == (2, *pairs.token.shape)
    assert (free.masked_fill(~pairs.attended, 0) == free).all()  # padding passes nothing
    assert (dear.sum(dim=-1) < free.sum(dim=-1)).all()


def test_direct_attribution_is_the_slope_of_what_a_head_writes(model, contrast):
    pairs = contrast.base
    found = direct_attribution(model, pairs).sum(dim=2)  # over what each head reads
    plain = hooked(model, pairs)
    last = [unit for unit in model.heads() if unit.site.layer == 1]
    for unit, share in zip(model.heads(), found, strict=True):
        if unit in last:  # behind which only norms, the MLP and the decoder step follow
            edited = hooked(model, pairs, Hook(unit, lambda z: z * (1 + 1e-6)))
            torch.testing.assert_close((edited - plain) / 1e-6, share, rtol=1e-3, atol=1e-5)


def test_the_edges_of_a_sender_add_up_to_its_node(model, contrast):
    effects = edge_attribution(model, contrast)
    nodes = attribution_patching(model, contrast, effects.senders)
    assert not nodes.recovered[:, 1].isnan().any()
    torch.testing.assert_close(
        effects.recovered[..., 1].nansum(dim=1), nodes.recovered[:, 1], rtol=1e-9, atol=1e-9
    )


def test_path_patching_is_what_hooks_find_that_hold_everything(model, contrast):
    senders, receivers = [head(0, 1), Site("mlp_out", 0).at(), head(1, 2)], [head(1, 3, "v")]
    with torch.no_grad(), model.record(*model.sites()) as base:
        plain = model(contrast.base)
    with torch.no_grad(), model.record(*model.sites()) as source:
        target = model(contrast.more)
    for group in ([], receivers):
        chosen = senders[:2] if group else senders
        effects = path_patching(model, contrast, chosen, group, least=1e-6)
        for sender, found in zip(chosen, effects.recovered, strict=True):
            hooks = (
                path(model, contrast.base, base, source, [sender], group)
                if group
                else direct_path(model, base, source, [sender])
            )
            expected = (hooked(model, contrast.base, *hooks) - plain) / (target - plain)
            assert expected.abs().max() > 1e-6
            torch.testing.assert_close(found, expected)


def test_what_a_decoder_step_holds_is_no_sender_nor_receiver_of_a_path(model, contrast):
    for unit in (head(1, 2, "cross_z"), Site("decoder_mlp_out", 0).at()):
        with pytest.raises(ValueError, match=f"{unit.site}.*decoder step"):
            path_patching(model, contrast, [unit])
    with pytest.raises(ValueError, match="is not what a part reads"):
        path_patching(model, contrast, [head(0, 0)], [head(1, 2, "cross_q")])


@torch.no_grad()
def test_nothing_of_a_hidden_word_reaches_the_score(model):
    both = model.pair(QUERY, "cats rest in town"), model.pair(QUERY, "dog rest in town")
    differs = both[0].token != both[1].token
    assert differs.sum() == 1
    left = [model(each) - hide_one_out(model, each).token[differs] for each in both]
    torch.testing.assert_close(*left, rtol=0, atol=1e-6)
    assert (model(both[0]) - model(both[1])).abs() > 1e-4


def test_what_asks_for_the_scored_row_says_that_there_is_none(model, contrast):
    pairs = contrast.base
    for ask in (
        lambda: pairs.is_scored,
        lambda: attention_rollout(model, pairs),
        lambda: attention_shares(model, pairs),
        lambda: attention_follows(model, pairs, pairs.token.double()),
    ):
        with pytest.raises(NotMeasurable, match="read from a step of its decoder"):
            ask()
    shares = attention_shares(model, pairs, dst="document", src=["query"])
    assert shares["query"].shape == (8, 2) and not shares["query"].isnan().any()
    some = pairs.only(~pairs.where("query"))
    assert model(some).shape == (2,) and torch.equal(some.scored, pairs.scored)


def test_weights_are_those_of_the_head_that_is_named(model):
    own, cross = model.weights(head(1, 2)), model.weights(head(1, 2, "cross_z"))
    step = model.head.decoder[1]
    torch.testing.assert_close(cross.V, step.cross_attn.v.weight[16:24].T)
    torch.testing.assert_close(
        model.weights(head(1, 2, "decoder_z")).O, step.attn.out.weight[:, 16:24].T
    )
    assert not torch.equal(own.V, cross.V) and cross.is_bilinear
    with pytest.raises(NotImplementedError, match="depends on positions in this family"):
        qk_map(model, head(1, 2))
