"""monoT5, RankT5 and their kin: prompts, and scores as the decoder's first step gives them."""

import json

import pytest
import torch
from encoder_decoders import encoder_decoder, KINDS, MONO, tokenizer
from safetensors.torch import load_file, save_file
from saved import change, reconfigure, save
from tiny import exact_norms
from torch import nn
from transformers import T5EncoderModel, T5ForSequenceClassification

from crosslens import load, Site


QUERY = "why do cats purr"
DOCUMENTS = (
    "cats purr when they rest .",
    "the engine of a car , and the cats of the town , purr when they sleep . long is the river",
    "  paris is the capital and largest city",
)
WISH = {"template": MONO, "relevant": ("true", "false")}


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


@torch.no_grad()
def theirs(original, words, documents=DOCUMENTS, true="▁true", false="▁false", **changes):
    """The scores as the authors' code has them, from a padded batch of whole prompts."""
    prompts = [changes.get("prompt", MONO).format(query=QUERY, document=d) for d in documents]
    inputs = words(prompts, padding=True, return_tensors="pt")
    start = torch.full((len(prompts), 1), original.config.decoder_start_token_id)
    logits = original(**inputs, decoder_input_ids=start).logits[:, -1]
    yes, no = (words.convert_tokens_to_ids(word) for word in (true, false))
    return logits[:, yes] - logits[:, no] if false else logits[:, yes]


def close(ours: torch.Tensor, expected: torch.Tensor) -> bool:
    spread = (expected.max() - expected.min()).item()
    assert spread > 0.05  # so that agreement means something
    return (ours - expected).abs().max().item() <= 1e-6 * max(1, spread)


def test_the_score_is_that_of_the_decoders_first_step_in_memory_and_from_files(kind, tmp_path):
    original, words = encoder_decoder(kind), tokenizer()
    expected = theirs(original, words)
    save(tmp_path, original, words)
    for model in (load(original, words, **WISH), load(tmp_path, **WISH)):
        assert close(model.score(QUERY, DOCUMENTS), expected)
        pairs = model.pair(QUERY, *DOCUMENTS)
        with torch.no_grad(), model.record("logits") as cache:
            assert close(model(pairs), expected)
        assert cache[Site("logits")].shape == (3, 1)  # never the whole vocabulary
        alone = torch.cat([model.score(QUERY, [document]) for document in DOCUMENTS])
        assert close(alone, expected)
        for i, document in enumerate(DOCUMENTS):
            ids = words(MONO.format(query=QUERY, document=document))["input_ids"]
            assert pairs.token[i, : pairs.lengths[i]].tolist() == ids
    one = load(original, words, template=MONO, relevant="true")
    assert close(one.score(QUERY, DOCUMENTS), theirs(original, words, false=""))


def test_in_float64_the_two_are_one(kind):
    original, words = encoder_decoder(kind), tokenizer()
    exact_norms(original.double())
    expected = theirs(original, words)
    found = load(original, words, **WISH).score(QUERY, DOCUMENTS)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


def test_outputs_are_scaled_as_the_config_declares():
    """As a control: the same weights score d_model^0.5 times more in T5 1.1."""
    words = tokenizer()
    scaled, plain = encoder_decoder(), encoder_decoder(tie_word_embeddings=False)
    assert torch.equal(scaled.lm_head.weight, plain.lm_head.weight)
    scores = [load(original, words, **WISH).score(QUERY, DOCUMENTS) for original in (scaled, plain)]
    torch.testing.assert_close(scores[0] * 24**0.5, scores[1])


def test_the_declared_start_token_is_followed():
    words = tokenizer()
    original = encoder_decoder(decoder_start_token_id=7)
    ours = load(original, words, **WISH).score(QUERY, DOCUMENTS)
    assert close(ours, theirs(original, words))
    original.config.decoder_start_token_id = 0
    assert (ours - theirs(original, words)).abs().max() > 1e-3


PUBLISHED = {
    "monot5-base-msmarco-10k": ("t5", MONO, "▁true", "▁false"),
    "InRanker-base": ("t5", MONO, "▁true", "▁false"),
    "RankT5-base": ("t5", "Query: {query} Document: {document}", "<extra_id_10>", ""),
    "ptt5-base-pt-msmarco-10k-v2": ("t5", MONO, "▁sim", "▁não"),
    "mt5-base-mmarco-v2": ("mt5", MONO, "▁yes", "▁no"),
    "mt5-base-en-msmarco": ("mt5", MONO, "▁yes", "▁no"),
    "mt5-13b-mmarco-100k": ("mt5", MONO, "▁true", "▁"),
}


@pytest.mark.parametrize("folder", PUBLISHED)
def test_a_published_reranker_is_known_by_its_name(tmp_path, folder):
    family, prompt, true, false = PUBLISHED[folder]
    original, words = encoder_decoder(family), tokenizer()
    save(tmp_path / folder, original, words)
    expected = theirs(original, words, true=true, false=false, prompt=prompt)
    assert close(load(tmp_path / folder).score(QUERY, DOCUMENTS), expected)


def test_a_template_ends_as_the_tokenizer_ends_a_text():
    original, words = encoder_decoder(), tokenizer()
    pairs = [
        load(original, words, template=template, relevant="true").pair(QUERY, *DOCUMENTS)
        for template in (MONO, f"{MONO}</s>")
    ]
    assert torch.equal(pairs[0].token, pairs[1].token)
    ends = pairs[0].token[torch.arange(3), pairs[0].lengths - 1]
    assert (ends == words.eos_token_id).all()


def test_only_the_document_is_cut():
    original, words = encoder_decoder(), tokenizer()
    whole = load(original, words, **WISH).pair(QUERY, DOCUMENTS[0])
    model = load(original, words, max_length=48, **WISH)
    pairs = model.pair(QUERY, " ".join(DOCUMENTS), DOCUMENTS[0])
    assert pairs.lengths[0] == 48 and pairs.cut[0] > 0 and pairs.cut[1] == 0
    for part in ("query", "template"):
        assert torch.equal(pairs.token[0][pairs.where(part)[0]], whole.token[whole.where(part)])
    ids = pairs.token[:1]
    with torch.no_grad():
        logits = original(input_ids=ids, decoder_input_ids=torch.zeros(1, 1).long()).logits[0, 0]
    yes, no = (words.convert_tokens_to_ids(word) for word in ("▁true", "▁false"))
    assert (model(pairs)[0] - (logits[yes] - logits[no])).abs() < 1e-5


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r'template="Query: \{query\}.*as monoT5\).*template and relevant missing'),
        ({"template": MONO}, "relevant missing"),
        ({"relevant": "true"}, "template missing"),
        ({"template": MONO, "relevant": "undoubtedly"}, "is no single token"),
        ({"template": MONO, "relevant": "▁undoubtedly"}, "is no single token"),
        ({"template": MONO, "relevant": 999}, "number 999; the model has 112"),
        ({"template": "{query} ?", "relevant": "true"}, "0 places for the document"),
    ],
)
def test_a_silent_encoder_decoder_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        load(encoder_decoder(), tokenizer(), **options)


@pytest.mark.parametrize("start", [None, 999, -1])
def test_a_decoder_that_begins_with_no_token_is_refused(start):
    with pytest.raises(ValueError, match=f"declares decoder_start_token_id {start}; expected"):
        load(encoder_decoder(decoder_start_token_id=start), tokenizer(), **WISH)


@pytest.mark.parametrize("of", [T5ForSequenceClassification, T5EncoderModel])
def test_other_heads_on_t5_are_refused_by_name(tmp_path, of):
    other, words = of(encoder_decoder().config), tokenizer()
    save(tmp_path, other, words)
    for given in ((tmp_path,), (other, words)):
        with pytest.raises(ValueError, match=f"follows t5 as .*; {of.__name__} computes its score"):
            load(*given, **WISH)


def test_weights_of_two_precisions_are_refused():
    original = encoder_decoder()
    original.encoder.block[0].layer[1].DenseReluDense.half()
    with pytest.raises(ValueError, match=r"are torch.float16 and torch.float32; .*model.float\(\)"):
        load(original, tokenizer(), **WISH)


def test_a_fault_in_any_part_of_the_decoder_is_found_at_load(monkeypatch):
    from crosslens.model.families import t5

    monkeypatch.setattr(t5.StepBlock, "forward", lambda self, step, encoded, context: step)
    with pytest.raises(RuntimeError, match="differs from"):
        load(encoder_decoder(), tokenizer(), **WISH)


def test_a_layer_that_config_json_leaves_out_is_refused(tmp_path):
    save(tmp_path, encoder_decoder(), tokenizer())
    config = json.loads((tmp_path / "config.json").read_text())
    for key, number in (("num_decoder_layers", 1), ("num_layers", 1)):
        (tmp_path / "config.json").write_text(json.dumps({**config, key: number}))
        with pytest.raises(ValueError, match="layers that config.json leaves out"):
            load(tmp_path, **WISH)
    (tmp_path / "config.json").write_text(json.dumps({**config, "d_kv": 10**9}))
    with pytest.raises(ValueError, match="d_kv is 1000000000"):
        load(tmp_path, **WISH)


def test_nothing_is_adopted_but_linear_maps():
    model = load(encoder_decoder(), tokenizer(), **WISH)
    assert isinstance(model.head.out, nn.Linear) and model.head.out.out_features == 1


def test_tables_that_should_be_one_and_differ_are_refused():
    for name, kind in (("encoder.embed_tokens", "t5"), ("lm_head", "t5")):
        original = encoder_decoder(kind, scale_decoder_outputs=True)
        load(original, tokenizer(), **WISH)
        module = original.get_submodule(name)
        module.weight = torch.nn.Parameter(module.weight * 1.1)
        with pytest.raises(ValueError, match=f"{name}, and the two hold different numbers"):
            load(original, tokenizer(), **WISH)


def test_an_output_map_that_is_declared_and_missing_is_refused(tmp_path):
    save(tmp_path, encoder_decoder("t5-1.1"), tokenizer())
    load(str(tmp_path), **WISH)
    weights = tmp_path / "model.safetensors"
    kept = {key: value for key, value in load_file(weights).items() if key != "lm_head.weight"}
    save_file(kept, weights, metadata={"format": "pt"})
    reconfigure(tmp_path, tie_word_embeddings=False)
    with pytest.raises(ValueError, match="no file holds the output map lm_head.weight"):
        load(str(tmp_path), **WISH)


def test_more_extra_tokens_than_the_model_knows_are_refused(tmp_path):
    save(tmp_path, encoder_decoder(), tokenizer())
    for n in (10**30, float("nan")):
        change(tmp_path / "tokenizer_config.json", extra_ids=n)
        with pytest.raises(ValueError, match="tokenizer_config.json: extra_ids is .* knows"):
            load(str(tmp_path), **WISH)


def test_two_start_tokens_are_refused():
    original = encoder_decoder()
    original.generation_config.decoder_start_token_id = 5
    with pytest.raises(ValueError, match="declares decoder_start_token_id 0, its gener"):
        load(original, tokenizer(), **WISH)
    del original.config.decoder_start_token_id
    with pytest.raises(ValueError, match="decoder_start_token_id None; expected"):
        load(original, tokenizer(), **WISH)


@pytest.mark.parametrize(
    ("relevant", "activation"), [(("true", "false"), nn.Sigmoid), ("true", nn.Identity)]
)
def test_two_tokens_give_a_probability_and_one_its_logit(relevant, activation):
    model = load(encoder_decoder(), tokenizer(), template=MONO, relevant=relevant)
    assert type(model.activation) is activation


def test_a_published_name_allows_no_more_than_its_tokenizer(tmp_path):
    for limit, allowed in ((96, 96), (600, 512)):
        words = tokenizer()
        words.model_max_length = limit
        model = load(save(tmp_path / str(limit) / "monot5-tiny", encoder_decoder(), words))
        assert model.cfg.n_positions == allowed
        assert str(model.tokens.layout) == "Query: {query} Document: {document} Relevant:</s>"
