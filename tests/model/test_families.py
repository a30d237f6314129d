"""Every family is its original: scores, activations and gradients, at every site."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from edits import assert_edits_follow
from einops import rearrange
from tiny import AND_DECODER, DECODERS, exact_norms, KIN, tiny, WORDS
from torch import nn, Tensor
from transformers import CamembertConfig, CamembertForSequenceClassification

from crosslens import CrossEncoder, Hook, load, Pairs, Site, Unit
from crosslens.model.block import GatedMLP, SplitGatedMLP


QUERIES = ("why do cats purr", "capital", "how long do cats sleep in the town")
DOCUMENTS = (
    "cats purr when they rest",
    "the engine of a car , and the cats of the town , purr when they sleep . long is the river .",
    "paris is the capital and largest city",
)


class Twins(NamedTuple):
    """A hooked model, the original it was made of, and pairs of unequal length."""

    model: CrossEncoder
    original: Any
    pairs: Pairs

    def logits(self, **options: Any) -> Any:
        """What the original makes of the pairs."""
        inputs = {"input_ids": self.pairs.token, "attention_mask": self.pairs.attended.long()}
        if getattr(self.original.config, "type_vocab_size", 0) > 1:
            inputs["token_type_ids"] = self.pairs.token_type
        return self.original(**inputs, **options)


@pytest.fixture(scope="module", params=dict.fromkeys([*AND_DECODER, *DECODERS, *KIN]))
def twins(request: pytest.FixtureRequest) -> Twins:
    """In float64, where a difference means a difference."""
    wide = (
        {"sliding_window": 100} if request.param in DECODERS else {}
    )  # eager padding sees no token
    original, tokenizer = tiny(request.param, num_hidden_layers=2, **wide)
    if not request.param.startswith("modernbert"):  # whose eager softmax is float32 at best
        original.set_attn_implementation("eager")  # so that the original shows its patterns
    exact_norms(original.double())
    model = load(original, tokenizer)
    return Twins(model, original, model.pairs(QUERIES, DOCUMENTS))


def everything(model: CrossEncoder, pairs: Pairs) -> dict[Site, Tensor]:
    """Every site of one forward pass, on the graph of the sum of the scores."""
    with model.record(*model.sites()) as cache:
        cache_score = model(pairs).sum()
    return {**cache, Site("score"): cache_score}


def sizes(twins: Twins, site: Site) -> dict[str, int]:
    c, (n_pairs, width) = twins.model.cfg, twins.pairs.token.shape
    is_table = site.name in ("embed", "token_type_embed", "pos_embed")  # ELECTRA's are narrow
    d_model = twins.model.embedding.words.embedding_dim if is_table else c.d_model
    return {
        "pair": n_pairs,
        **dict.fromkeys(("pos", "dst", "src"), width),
        "head": c.n_heads,
        "kv_head": c.n_key_value_heads or c.n_heads,
        "d_head": c.d_head,
        "d_model": d_model,
        "neuron": c.d_mlp,
        "label": c.n_labels,
    }


def test_every_site_is_observed_whole_and_observing_changes_nothing(twins):
    """One site at a time: whatever is recorded, no row of it may be left out."""
    plain = twins.model(twins.pairs)
    for site in twins.model.sites():
        with twins.model.record(site) as cache:
            scores = twins.model(twins.pairs)
        size = sizes(twins, site)
        assert cache[site].shape == site.shape(size), site
        torch.testing.assert_close(scores, plain, rtol=0, atol=1e-10, msg=str(site))


def test_an_edit_at_every_site_moves_the_score_along_its_gradient(twins):
    model, pairs = twins.model, twins.pairs
    held = everything(model, pairs)
    score = held.pop(Site("score"))
    slopes = torch.autograd.grad(score, list(held.values()))
    assert_edits_follow(model, pairs, dict(zip(held, slopes, strict=True)), least=1e-12)


def places(model: CrossEncoder) -> Iterator[tuple[Site, Any, str, slice]]:
    """Where the original computes each site: one of its own modules, its input or its output.

    The hooked model adopts these very modules, so they are found without a family's names.
    """
    whole = slice(None)
    d_model, d_mlp = model.cfg.d_model, model.cfg.d_mlp
    is_post = model.cfg.norm == "post"
    tables = model.embedding
    yield Site("embed"), tables.words, "out", whole
    if tables.token_types is not None:
        yield Site("token_type_embed"), tables.token_types, "out", whole
    if tables.positions is not None:
        yield Site("pos_embed"), tables.positions, "out", whole
    for layer, block in enumerate(model.blocks):
        attn, mlp = block.attn, block.mlp
        mid = block.norm1 if is_post else block.norm2
        for i, (name, third) in enumerate(zip("qkv", (attn.q, attn.k, attn.v), strict=True)):
            if is_post or isinstance(third, nn.Linear):
                yield Site(name, layer), third, "out", whole
            else:
                yield Site(name, layer), third.whole, "out", slice(i * d_model, (i + 1) * d_model)
        yield Site("z", layer), attn.out, "in", whole
        written = attn.out if attn.adds_by_head else attn.norm
        yield Site("attn_out", layer), written, "out", whole
        yield Site("resid_mid", layer), mid, "in", whole
        yield Site("normalized_resid_mid", layer), mid, "out", whole
        down = mlp.w_out[0] if isinstance(mlp.w_out, nn.Sequential) else mlp.w_out
        yield Site("mlp_post", layer), down, "in", whole
        yield Site("mlp_out", layer), mlp.w_out if down is mlp.w_out else mlp.w_out[1], "out", whole
        is_fused = isinstance(mlp, GatedMLP) and not isinstance(mlp, SplitGatedMLP)
        yield Site("mlp_pre", layer), mlp.w_in, "out", slice(d_mlp) if is_fused else whole
        if is_fused:
            yield Site("mlp_pre_linear", layer), mlp.w_in, "out", slice(d_mlp, None)
        elif isinstance(mlp, SplitGatedMLP):
            yield Site("mlp_pre_linear", layer), mlp.linear, "out", whole
        if is_post:
            yield Site("resid_pre", layer), attn.q, "in", whole
            yield Site("resid_post", layer), block.norm2, "in", whole
            yield Site("normalized_resid_post", layer), block.norm2, "out", whole
        else:
            last = layer == model.cfg.n_layers - 1
            after = model.final_norm if last else model.blocks[layer + 1].norm1
            yield Site("resid_pre", layer), block.norm1, "in", whole
            yield Site("resid_post", layer), after, "in", whole
            if layer or not is_fused:  # ModernBERT's first norm is the identity: the stream is read
                reads = attn.q.whole if is_fused else attn.q
                yield Site("normalized_resid_pre", layer), reads, "in", whole
    if model.final_norm is not None:
        yield Site("final_norm"), model.final_norm, "out", whole
    yield Site("pooled"), model.head.out, "in", whole
    yield Site("logits"), model.head.out, "out", whole


def test_activations_and_gradients_are_the_originals(twins):
    model, original, pairs = twins
    listed = list(places(model))
    seen: dict[tuple[Any, str], Tensor] = {}

    def watch(module: Any, inputs: Any, output: Any) -> None:
        seen.setdefault((module, "in"), inputs[0])  # the first call: DeBERTa maps positions later
        seen.setdefault((module, "out"), output)

    handles = [m.register_forward_hook(watch) for m in {module for _, module, _, _ in listed}]
    try:
        given = twins.logits(output_attentions=model.cfg.family != "modernbert")
    finally:
        for handle in handles:
            handle.remove()
    theirs = {site: (seen[module, side], part) for site, module, side, part in listed}
    for layer, pattern in enumerate(given.attentions or ()):
        theirs[Site("pattern", layer)] = (pattern, slice(None))

    held = everything(model, pairs)
    score = held.pop(Site("score"))
    unseen = {site.name for site in held.keys() - theirs.keys()}
    hidden = {"attn_scores", "result", "full_embed"}  # no module's input or output
    if model.cfg.norm == "pre":
        hidden |= {"pattern", "normalized_resid_pre"} if given.attentions is None else set()
    assert unseen == hidden

    ours = [held[site] for site in theirs]
    our_slopes = torch.autograd.grad(score, ours)
    their_score = model.relevance(given.logits).sum()
    their_slopes = torch.autograd.grad(their_score, [whole for whole, _ in theirs.values()])
    # The original ModernBERT turns its queries and keys in float32, whatever the weights are.
    close = (
        {"rtol": 1e-8, "atol": 1e-11} if model.cfg.norm == "post" else {"rtol": 1e-6, "atol": 1e-6}
    )
    for site, mine, slope, their_slope in zip(theirs, ours, our_slopes, their_slopes, strict=True):
        value, part = theirs[site]
        axes = site.axes
        if "d_head" in axes:
            axes = ("pair", "pos", "d_model")
            mine = rearrange(mine, "pair pos head d -> pair pos (head d)")
            slope = rearrange(slope, "pair pos head d -> pair pos (head d)")
        if value.shape[0] == 1:  # one row of positions for all pairs
            slope = slope.sum(dim=0, keepdim=True)
        there = torch.tensor(True)  # what padding holds is nobody's business
        for axis in {"pos", "dst", "src"} & set(axes):
            there = there & ~pairs.mask(axes, {axis: "pad"})
        value, their_slope = value[..., part], their_slope[..., part]
        if value.dim() > len(axes):  # a decoder maps all rows to logits, and takes one then
            row = torch.arange(len(pairs)), pairs.scored
            value, their_slope = value[row], their_slope[row]
        torch.testing.assert_close(mine * there, value * there, **close, msg=str(site))
        if value.shape[0] == len(pairs):
            slope, their_slope = slope * there, their_slope * there
        torch.testing.assert_close(
            slope, their_slope, **close, msg=lambda m, site=site: f"slope at {site}: {m}"
        )


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_a_pair_scores_the_same_alone_and_in_any_batch(family, dtype, tolerance):
    model = load(*tiny(family))
    model.to(dtype)
    pick = torch.Generator().manual_seed(7)

    def text(longest: int) -> str:
        n = int(torch.randint(1, longest, (1,), generator=pick))
        return " ".join(WORDS[i] for i in torch.randint(len(WORDS), (n,), generator=pick))

    n_pairs = 12
    pairs = model.pairs([text(8) for _ in range(n_pairs)], [text(60) for _ in range(n_pairs)])
    hooks = (
        Hook(Site("z", 0).at(head=1), lambda z: 2 * z),
        Hook(Site("pattern", 1).at(dst="cls", src="query"), torch.zeros_like),
        Hook(Site("resid_pre", 1).at(pos="document"), lambda x: 0.5 * x),
        Hook(Site("mlp_post", 2).at(neuron=3), lambda x: x + 1),
    )
    with torch.no_grad():
        for hooked in ((), hooks):
            with model.hooked(*hooked):
                alone = torch.cat([model(pairs.take([i])) for i in range(n_pairs)])
                assert torch.unique(alone).numel() == n_pairs  # no two pairs are mixed up by chance
                for _ in range(4):
                    n = int(torch.randint(1, n_pairs, (1,), generator=pick))
                    rows = torch.randperm(n_pairs, generator=pick)[:n].tolist()
                    together = model(pairs.take(rows))
                    worst = (together - alone[rows]).abs().max().item()
                    assert worst <= tolerance


def test_the_narrow_last_block_and_the_fused_kernel_change_nothing(twins):
    """Recording the last sites makes the last block whole; recording patterns forbids fusion."""
    model, pairs = twins.model, twins.pairs
    plain = model(pairs)
    last = model.cfg.n_layers - 1
    with model.record(Site(model.cfg.block_output, last)) as whole:
        torch.testing.assert_close(model(pairs), plain, rtol=0, atol=1e-10)
    with model.record("pattern"):
        torch.testing.assert_close(model(pairs), plain, rtol=0, atol=1e-10)
    with model.scored_row_only(), model.record(Site(model.cfg.block_output, last)) as narrow:
        torch.testing.assert_close(model(pairs), plain, rtol=0, atol=1e-10)
    width = pairs.token.shape[1]
    rows = {cache[Site(model.cfg.block_output, last)].shape[1] for cache in (whole, narrow)}
    assert rows == ({width, 1} if model.head.reads_scored_row else {width})


def test_a_suffix_from_recorded_sites_is_the_whole_pass(twins):
    model, pairs = twins.model, twins.pairs
    with model.record(*model.sites()) as cache:
        scores = model(pairs)
    beside = "normalized_resid_mid" if model.cfg.norm == "post" else "resid_mid"
    beginnings = (
        ["resid_pre"],
        ["resid_pre", "v", "attn_scores"],
        ["resid_pre", "v", "pattern"],
        ["resid_pre", "z"],
        ["resid_mid"],
        [beside, "mlp_out"],
    )
    for layer in range(model.cfg.n_layers):
        for names in beginnings:
            given = {name: cache[Site(name, layer)] for name in names}
            last = Site(names[-1], layer)
            torch.testing.assert_close(
                model.suffix(pairs, layer, given), scores, rtol=0, atol=1e-10
            )
            with model.record(last) as again:
                model.suffix(pairs, layer, given)
            assert torch.equal(again[last], cache[last])  # it begins at the hook point
            changed = given | {names[-1]: cache[last].flip(0)}
            with model.hooked(Hook(last.at(), lambda x: x.flip(0))):
                expected = model(pairs)
            assert (expected - scores).abs().max() > 1e-4
            torch.testing.assert_close(
                model.suffix(pairs, layer, changed), expected, rtol=0, atol=1e-10
            )
    stream = cache[Site(model.cfg.block_output, model.cfg.n_layers - 1)]
    torch.testing.assert_close(
        model.suffix(pairs, model.cfg.n_layers, stream), scores, rtol=0, atol=1e-10
    )


def test_camembert_is_a_roberta():
    torch.manual_seed(0)
    roberta, words = tiny("roberta")
    c = CamembertConfig(**{k: v for k, v in roberta.config.to_dict().items() if k != "model_type"})
    original = CamembertForSequenceClassification(c).eval()
    original.load_state_dict(roberta.state_dict())
    scores = load(original, words).score(QUERIES[0], DOCUMENTS)
    torch.testing.assert_close(scores, load(roberta, words).score(QUERIES[0], DOCUMENTS))


def test_a_head_on_every_token_a_convolution_and_positions_by_length_are_refused():
    for family, wrong, why in (
        ("eurobert", {"classifier_pooling": "late"}, "'late': the mean of the logits"),
        ("deberta-v2", {"conv_kernel_size": 3, "conv_act": "gelu"}, "declares conv_kernel_size 3"),
        (
            "nomic_bert",
            {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
            "rope_type 'dynamic'",
        ),
    ):
        with pytest.raises(ValueError, match=why):
            load(*tiny(family, **wrong))


def test_blocks_that_share_their_weights_have_sites_of_their_own():
    model = load(*tiny("albert"))
    blocks = model.blocks
    assert blocks[0].attn.q is blocks[1].attn.q is not blocks[2].attn.q, "two groups of three"
    pairs = model.pairs(QUERIES, DOCUMENTS)
    with model.hooked(Hook(Unit(Site("z", 0)), torch.zeros_like)), model.record("z") as cache:
        model(pairs)
    assert (cache[Site("z", 0)] == 0).all() and (cache[Site("z", 1)] != 0).any()
