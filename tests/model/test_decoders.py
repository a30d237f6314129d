"""Decoders as sequence classifiers score as transformers does, whatever the padding."""

import json

import pytest
import torch
from saved import save
from tiny import BERT_LIKE, DECODERS, tiny, tokenizer
from torch import nn

from crosslens import head, Hook, load, Site


QUERIES = ("why do cats purr", "capital", "how long do cats sleep in the town")
DOCUMENTS = (
    "cats purr when they rest",
    "the engine of a car , and the cats of the town , purr when they sleep . long is the river . "
    * 6,
    "paris is the capital and largest city",
)


@pytest.fixture(params=DECODERS)
def family(request) -> str:
    return request.param


@torch.no_grad()
def theirs(original, words, side: str, **options) -> torch.Tensor:
    """The scores of the original and its tokenizer alone, padded on one side."""
    inputs = words(
        list(QUERIES),
        list(DOCUMENTS),
        padding=True,
        padding_side=side,
        return_tensors="pt",
        **options,
    )
    return original(**inputs).logits[:, 0]


def close(ours: torch.Tensor, expected: torch.Tensor) -> bool:
    spread = (expected.max() - expected.min()).item()
    assert spread > 0.1  # so that agreement means something
    return (ours - expected).abs().max().item() <= 1e-6 * max(1, spread)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_scores_are_transformers_padded_and_truncated_on_either_side(family, side):
    original, words = tiny(family, sliding_window=9)
    model = load(original, words)
    pairs = model.pairs(QUERIES, DOCUMENTS)
    assert pairs.cut.tolist()[1] > 0 and pairs.lengths.max() == 96
    with torch.no_grad():
        ours = model(pairs)
        assert close(ours, theirs(original, words, side, truncation=True, max_length=96))
        short = load(original, words, max_length=20)
        assert short.pairs(QUERIES, DOCUMENTS).lengths.max() == 20
        expected = theirs(original, words, side, truncation=True, max_length=20)
        assert close(short(short.pairs(QUERIES, DOCUMENTS)), expected)


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "mistral", "gemma2"], indirect=True)
def test_a_window_is_followed(family):
    """As a control: without it the same weights score otherwise."""
    scores = []
    for window in (5, 90):
        original, words = tiny(family, sliding_window=window)
        model = load(original, words)
        scores.append(model.score(QUERIES[0], DOCUMENTS))
        with torch.no_grad():
            assert close(
                model(model.pairs(QUERIES, DOCUMENTS)),
                theirs(original, words, "left", truncation=True, max_length=96),
            )
    assert (scores[0] - scores[1]).abs().max() > 1e-3


def test_no_token_reads_one_behind_it(family):
    model = load(*tiny(family))
    pairs = model.pairs(QUERIES, DOCUMENTS)
    width = pairs.token.shape[1]
    with torch.no_grad(), model.record("pattern") as cache:
        model(pairs)
    there = ~pairs.mask(("pair", "head", "dst", "src"), {"dst": "pad"})
    for pattern in cache.values():
        assert (pattern * there * torch.ones(width, width).triu(1)).abs().max() == 0


def test_queries_that_share_keys_have_a_shorter_head_axis(family):
    model = load(*tiny(family))
    pairs = model.pairs(QUERIES, DOCUMENTS)
    c = model.cfg
    assert (c.n_heads, c.n_key_value_heads, model.sizes["kv_head"]) == (4, 2, 2)
    assert len(model.heads("k")) == len(model.heads("v")) == 2 * 3
    assert len(model.heads("q")) == len(model.heads()) == 4 * 3
    with torch.no_grad(), model.record("k", "q", "z", "v", "pattern") as cache:
        plain = model(pairs)
    assert cache[Site("k", 1)].shape[2] == 2 and cache[Site("q", 1)].shape[2] == 4
    # What one head of values passes on is read by two heads, and by no other.
    with (
        torch.no_grad(),
        model.hooked(Hook(head(1, 1, "v"), torch.zeros_like)),
        model.record("z") as edited,
    ):
        assert (model(pairs) - plain).abs().max() > 1e-4
    moved = (edited[Site("z", 1)] - cache[Site("z", 1)]).abs().amax(dim=(0, 1, 3)) > 1e-4
    assert moved.tolist() == [False, False, True, True]
    beyond = model.hooked(Hook(head(1, 2, "k"), torch.zeros_like))
    with pytest.raises(LookupError, match=r"k\[head=2\] is outside the model"), beyond:
        model(pairs)


def test_the_weights_of_a_head_are_its_own_and_those_of_its_group():
    model = load(*tiny("qwen3"))
    v = model.blocks[1].attn.v.weight
    assert torch.equal(model.weights(head(1, 3)).V, v[8:].T)
    assert torch.equal(model.weights(head(1, -3)).V, v[:8].T)
    assert not model.weights(head(1, 3)).is_bilinear


def test_gemmas_embeddings_are_what_its_first_block_reads():
    model = load(*tiny("gemma"))
    pairs = model.pairs(QUERIES, DOCUMENTS)
    with torch.no_grad(), model.record("embed", "resid_pre") as cache:
        model(pairs)
    torch.testing.assert_close(cache[Site("embed")], model.W_E[pairs.token])
    torch.testing.assert_close(cache[Site("resid_pre", 0)], cache[Site("embed")])


def test_without_a_padding_token_pairs_score_as_they_do_alone(family):
    """transformers refuses such a batch; how long the pairs are is known here."""
    original, words = tiny(family)
    expected = load(original, words).score(QUERIES[0], DOCUMENTS)
    original.config.pad_token_id = None
    words.pad_token = None
    model = load(original, words)
    torch.testing.assert_close(model.score(QUERIES[0], DOCUMENTS), expected)


def test_a_padding_token_at_the_end_is_not_scored_as_transformers_has_it():
    original, words = tiny("qwen3")
    original.config.pad_token_id = words.sep_token_id  # the last token of every pair
    model = load(original, words)
    pairs = model.pairs(QUERIES, DOCUMENTS)
    assert (pairs.scored == pairs.lengths - 2).all()
    words.pad_token = words.sep_token
    with torch.no_grad():
        expected = theirs(original, words, "right", truncation=True, max_length=96)
        assert close(model(pairs), expected)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"is_causal": False}, "is_causal: attention in both directions"),
        (
            {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
            "rope_type 'dynamic': positions by length",
        ),
    ],
)
def test_what_is_not_followed_is_refused_by_name(changed, message):
    original, words = tiny("llama", **changed)
    with pytest.raises(ValueError, match=message):
        load(original, words)


def test_a_saved_decoder_loads_whatever_positions_it_declares(tmp_path, family):
    """A rotary model has no table of positions, so their number is not bounded by the weights."""
    original, words = tiny(family, max_position_embeddings=32768)
    save(tmp_path, original, words)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["max_position_embeddings"] == 32768
    # transformers gives Qwen2 a tokenizer class of its own, whatever tokenizer.json holds
    scores = load(tmp_path, words).score(QUERIES[0], DOCUMENTS)
    torch.testing.assert_close(scores, load(original, words).score(QUERIES[0], DOCUMENTS))


def test_a_language_model_is_no_classifier(tmp_path):
    original, words = tiny("qwen3")
    save(tmp_path, original, words)
    original.model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="Qwen3Model is a bare encoder"):
        load(tmp_path)


def test_pairs_without_special_tokens_are_scored_at_the_end_of_the_document():
    """As Qwen's tokenizer lays them out: the two texts, and nothing around them."""
    original, _ = tiny("qwen3")
    words = tokenizer(BERT_LIKE, has_types=False)
    words.backend_tokenizer.post_processor = None
    model = load(original, words)
    pairs = model.pairs(QUERIES, DOCUMENTS)
    assert pairs.is_scored[pairs.where("document")].sum() == 3
    with torch.no_grad():
        expected = theirs(original, words, "left", truncation=True, max_length=96)
        assert close(model(pairs), expected)
    assert not isinstance(model.head.hidden, nn.Sequential)
