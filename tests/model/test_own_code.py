"""Rerankers published with code of their own: every setting and tensor is followed, or refused."""

import json

import pytest
import torch
from own_code_checkpoints import FIXED, original, published, write
from safetensors.torch import load_file, save_file
from tiny import tiny
from torch import Tensor
from transformers import GteForSequenceClassification

from crosslens import Contrast, CrossEncoder, Hook, load, patch, patching


QUERIES = ["why do cats purr", "capital of france", "python"]
DOCUMENTS = ["cats purr when they rest", "paris is the capital . " * 9, "a large snake"]
TEMPLATE = "question:{query} \n \n passage:{document}"
WISHES = {"jina": {}, "gte": {}, "llama": {"template": TEMPLATE}}
RENAMED = ("jina", "gte")  # as a class of transformers has it, but for the names


@pytest.fixture(params=FIXED)
def kind(request) -> str:
    return request.param


@pytest.fixture
def folder(kind, tmp_path):
    return write(tmp_path / "checkpoint", kind, *original(kind))


def change(folder, **settings) -> None:
    path = folder / "config.json"
    read = json.loads(path.read_text()) | settings
    path.write_text(json.dumps({key: value for key, value in read.items() if value != "absent"}))


def scores(model: CrossEncoder) -> Tensor:
    return model(model.pairs(QUERIES, DOCUMENTS)).detach()


@torch.no_grad()
def read_both_ways(llama, tokenizer, query: str, document: str) -> float:
    """The score by hand: Llama's layers without a causal mask, the mean of the last states."""
    text = TEMPLATE.replace("{query}", query).replace("{document}", document)
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    decoder, c = llama.model, llama.config
    stream = decoder.embed_tokens(ids)
    cos, sin = decoder.rotary_emb(stream, torch.arange(ids.shape[1])[None])

    def turned(x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * cos + torch.cat([-second, first], dim=-1) * sin

    for layer in decoder.layers:
        x, a = layer.input_layernorm(stream), layer.self_attn
        heads = []
        for head in range(c.num_attention_heads):
            shared = head * c.num_key_value_heads // c.num_attention_heads
            here, there = (slice(8 * i, 8 * i + 8) for i in (head, shared))
            q, k = turned(a.q_proj(x)[..., here]), turned(a.k_proj(x)[..., there])
            pattern = (q @ k.mT / 8**0.5).softmax(dim=-1)  # over all tokens, before and behind
            heads.append(pattern @ a.v_proj(x)[..., there])
        stream = stream + a.o_proj(torch.cat(heads, dim=-1))
        stream = stream + layer.mlp(layer.post_attention_layernorm(stream))
    return llama.score(decoder.norm(stream).mean(dim=1)).item()


@pytest.mark.parametrize("n_labels", [1, 2])
@pytest.mark.parametrize("kind", RENAMED)
def test_scores_are_those_of_the_class_of_transformers(kind, n_labels, tmp_path):
    model, tokenizer = original(kind, num_labels=n_labels)
    found = load(write(tmp_path, kind, model, tokenizer))
    inputs = tokenizer(QUERIES, DOCUMENTS, padding=True, return_tensors="pt")
    expected = model(**inputs).logits.detach()
    rule = expected[:, 0] if n_labels == 1 else expected[:, 1] - expected[:, 0]
    assert rule.max() - rule.min() > 1e-3
    torch.testing.assert_close(scores(found), rule, rtol=0, atol=1e-6)
    assert not found.is_causal and found.reads_scored_row


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_llama_that_reads_both_ways_scores_the_mean_of_its_tokens(temperature, tmp_path):
    llama, tokenizer = original("llama")
    folder = write(tmp_path, "llama", llama, tokenizer, temperature=temperature)
    model = load(folder, template=TEMPLATE)
    pairs = zip(QUERIES, DOCUMENTS, strict=True)
    expected = torch.tensor([read_both_ways(llama, tokenizer, *pair) for pair in pairs])
    assert expected.max() - expected.min() > 0.1
    torch.testing.assert_close(scores(model), expected / temperature, rtol=0, atol=1e-5)
    assert not model.is_causal and not model.reads_scored_row
    causal = load(llama, tokenizer, template=TEMPLATE)
    assert (scores(causal) - expected).abs().max() > 0.1  # the control
    pair = model.pairs(QUERIES[:1], DOCUMENTS[:1])
    text = "".join(tokenizer.convert_ids_to_tokens(pair.token[0])).replace("##", "")
    assert text.startswith("[CLS]") and text.endswith("[SEP]")  # as the tokenizer frames a text


def test_a_published_name_brings_its_template(tmp_path):
    folder = tmp_path / "llama-nemotron-rerank-1b-v2"
    write(folder, "llama", *original("llama"))
    asked = load(folder, template=TEMPLATE)
    assert torch.equal(scores(load(folder)), scores(asked))


def test_another_name_has_to_say_its_template(tmp_path):
    folder = write(tmp_path / "mine", "llama", *original("llama"))
    with pytest.raises(ValueError, match=r"does not say how it lays out a pair, .*passage:\{doc"):
        load(folder)


@pytest.mark.parametrize("kind", FIXED)
def test_every_token_reads_those_behind_it(kind, folder):
    model = load(folder, **WISHES[kind])
    pairs = model.pairs(QUERIES[:1], DOCUMENTS[:1])
    with model.record("pattern") as cache:
        model(pairs)
    last = int(pairs.lengths[0]) - 1
    assert all(cache[site][0, :, 0, last].min() > 0 for site in model.sites("pattern"))


def test_methods_run_on_it(kind, folder):
    model = load(folder, dtype="bf16", **WISHES[kind])
    base = model.pair(QUERIES[0], "the engine of a car", "a large snake")
    more = model.pair(QUERIES[0], "the engine of a python", "a large python")
    effects = patching(model, Contrast.between(base, more, "TF"), model.heads(), least=1e-9)
    assert torch.isfinite(effects.recovered).all()
    exact = load(folder, **WISHES[kind])
    with torch.no_grad(), exact.record("z") as cache:
        plain = exact(base)
    for unit in exact.heads():
        with torch.no_grad(), exact.hooked(patch(unit, cache)):  # identity
            torch.testing.assert_close(exact(base), plain, rtol=0, atol=1e-6)
        with torch.no_grad(), exact.hooked(Hook(unit, torch.zeros_like)):
            assert not torch.equal(exact(base), plain)


@pytest.mark.parametrize("factor", [1.0, 8.0])
def test_rotary_positions_are_scaled_as_their_code_scales_them(factor, tmp_path):
    """Base times factor, and every frequency over factor^(2 / d_head)."""
    model, tokenizer = original("gte")
    ntk = {"type": "ntk", "factor": factor}
    folder = write(tmp_path, "gte", model, tokenizer, rope_theta=20000.0, rope_scaling=ntk)
    found = load(folder)
    d_head = 6
    frequency = (20000.0 * factor) ** (-torch.arange(0, d_head, 2) / d_head)
    frequency = frequency / factor ** (2 / d_head)
    torch.testing.assert_close(found.context.rotary.inv_freq, frequency)
    plain = load(write(tmp_path / "plain", "gte", model, tokenizer, rope_theta=20000.0))
    assert torch.equal(scores(found), scores(plain)) == (factor == 1)


LLAMA3 = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 48,
}


@pytest.mark.parametrize("scaling", [None, LLAMA3])
def test_a_llamas_rotation_is_the_one_it_declares(scaling, tmp_path):
    """The older names of the settings, rope_theta and rope_scaling, as they are published."""
    folder = write(tmp_path, "llama", *original("llama"), rope_theta=500000.0, rope_scaling=scaling)
    found = load(folder, template=TEMPLATE).context.rotary.inv_freq
    plain = 500000.0 ** (-torch.arange(0, 8, 2) / 8)
    if scaling is None:
        torch.testing.assert_close(found, plain)
        return
    length = 2 * torch.pi / plain  # of a wave; long ones are stretched, short ones are not
    torch.testing.assert_close(found[length > 48 / 1.0], plain[length > 48 / 1.0] / 32)
    torch.testing.assert_close(found[length < 48 / 4.0], plain[length < 48 / 4.0])
    assert (length > 48).any() and (length < 12).any()


def test_apart_maps_of_queries_keys_and_values_are_read_too(tmp_path):
    model, tokenizer = original("gte")
    folder = write(tmp_path, "gte", model, tokenizer, pack_qkv=False)
    tensors = published("gte", model)
    for name in [name for name in tensors if "qkv_proj" in name]:
        for letter, rows in zip("qkv", tensors.pop(name).chunk(3), strict=True):
            tensors[name.replace("qkv", letter)] = rows.clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    inputs = tokenizer(QUERIES, DOCUMENTS, padding=True, return_tensors="pt")
    expected = model(**inputs).logits[:, 0].detach()
    torch.testing.assert_close(scores(load(folder)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("declared", "computed"), [("gelu_new", "tanh"), ("gelu_fast", "tanh"), ("gelu", "none")]
)
def test_an_activation_is_the_one_of_that_name_in_its_own_code(declared, computed, tmp_path):
    model, tokenizer = original("jina")
    found = load(write(tmp_path, "jina", model, tokenizer, hidden_act=declared))
    x = torch.linspace(-3, 3, 50)
    expected = torch.nn.functional.gelu(x, approximate=computed)
    torch.testing.assert_close(found.blocks[0].mlp.act(x), expected)


def test_a_config_without_a_model_type_is_known_by_its_code(tmp_path):
    folder = write(tmp_path, "jina", *original("jina"))
    assert "model_type" not in json.loads((folder / "config.json").read_text())
    assert load(folder).cfg.family == "xlm-roberta"


# --- refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "settings", "what"),
    [
        (
            "jina",
            {"position_embedding_type": "rotary"},
            "position_embedding_type 'rotary'; of this",
        ),
        (
            "jina",
            {"hidden_act": "relu"},
            "hidden_act 'relu'; of this family CrossLens follows 'gelu",
        ),
        ("jina", {"lora_adaptations": ["retrieval"]}, r"lora_adaptations \['retrieval'\]"),
        ("jina", {"pad_token_id": None}, "config.json declares pad_token_id null"),
        ("jina", {"last_layer_subset": True}, "last_layer_subset True"),
        ("jina", {"pad_vocab_size_multiple": 8}, "pad_vocab_size_multiple 8"),
        ("jina", {"layer_norm_eps": "absent"}, "does not say layer_norm_eps, on which"),
        ("gte", {"position_embedding_type": "absolute"}, "position_embedding_type 'absolute'"),
        ("gte", {"layer_norm_type": "rms_norm"}, "layer_norm_type 'rms_norm'"),
        ("gte", {"logn_attention_scale": True}, "logn_attention_scale True"),
        ("gte", {"rope_theta": "absent"}, "does not say rope_theta"),
        ("gte", {"rope_scaling": {"type": "ntk", "factor": 2, "mixed_b": 0.5}}, "without mixed_b"),
        ("gte", {"rope_scaling": {"type": "ntk", "factor": 0.5}}, "a factor of 1 or more"),
        ("gte", {"rope_scaling": {"type": "dynamic", "factor": 2}}, "follows the type 'ntk'"),
        ("gte", {"rope_scaling": "ntk"}, "rope_scaling 'ntk'"),
        ("llama", {"pooling": "last"}, "pooling 'last'; of this family CrossLens follows 'avg'"),
        ("llama", {"is_causal": True}, "is_causal True"),
        ("llama", {"temperature": 0.0}, "the temperature 0.0, by which logits are divided"),
        ("llama", {"num_key_value_heads": "absent"}, "does not say num_key_value_heads"),
    ],
)
def test_a_setting_that_changes_a_score_is_followed_or_refused(kind, settings, what, tmp_path):
    folder = write(tmp_path, kind, *original(kind))
    change(folder, **settings)
    with pytest.raises(ValueError, match=what):
        load(folder, **WISHES[kind])


def test_a_setting_that_nobody_knows_is_refused(kind, folder):
    change(folder, squash_scores=True)
    with pytest.raises(ValueError, match="declares squash_scores True, which CrossLens does not"):
        load(folder, **WISHES[kind])


def test_an_architecture_without_a_score_is_refused(kind, folder):
    change(folder, architectures=["NewForMaskedLM"])
    with pytest.raises(ValueError, match=r"NewForMaskedLM is no reranker; .*Classification alone"):
        load(folder, **WISHES[kind])


def edited(folder, edit) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def test_a_tensor_without_a_place_is_refused(kind, folder):
    edited(folder, lambda tensors: tensors.update({"extra.gate": torch.ones(1)}))
    with pytest.raises(ValueError, match="holds the tensor extra.gate, for which .* no place"):
        load(folder, **WISHES[kind])


def test_a_bias_that_is_not_declared_is_refused(tmp_path):
    """It has a name that a Llama may have, and no place in this one."""
    folder = write(tmp_path, "llama", *original("llama"))
    name = "model.layers.1.self_attn.q_proj.bias"
    edited(folder, lambda tensors: tensors.update({name: torch.ones(32)}))
    with pytest.raises(ValueError, match=f"hold {name} and 0 more, which no module"):
        load(folder, template=TEMPLATE)
    edited(folder, lambda tensors: tensors.pop(name))
    load(folder, template=TEMPLATE)  # the control


def test_a_tensor_of_a_layer_that_is_not_there_is_refused(kind, folder):
    change(folder, num_hidden_layers=2)
    with pytest.raises(ValueError, match="of layers that config.json leaves out"):
        load(folder, **WISHES[kind])


def test_a_place_without_a_tensor_is_refused(kind, folder):
    name = {
        "jina": "roberta.emb_ln.bias",
        "gte": "new.pooler.dense.bias",
        "llama": "model.norm.weight",
    }
    edited(folder, lambda tensors: tensors.pop(name[kind]))
    with pytest.raises(ValueError, match=r"no trained weights for \['"):
        load(folder, **WISHES[kind])


def test_a_place_with_two_tensors_is_refused(tmp_path):
    model, tokenizer = original("gte")
    folder = write(tmp_path, "gte", model, tokenizer)
    name = "new.encoder.layer.0.attention.q_proj.bias"
    edited(folder, lambda tensors: tensors.update({name: torch.zeros(24)}))
    with pytest.raises(ValueError, match=r"self_attn.q_proj.bias twice, once as new.encoder"):
        load(folder)


def test_rows_that_cannot_be_shared_are_refused(tmp_path):
    folder = write(tmp_path, "jina", *original("jina"))
    name = "roberta.encoder.layers.0.mixer.Wqkv.bias"
    edited(folder, lambda tensors: tensors.update({name: torch.zeros(71)}))
    with pytest.raises(ValueError, match=r"Wqkv.bias of shape \(71,\), whose rows 3 maps cannot"):
        load(folder)


def test_a_swapped_order_of_rows_is_not_the_same_model(tmp_path):
    """The control of the renaming: up and gate, the other way round, score otherwise."""
    model, tokenizer = original("gte")
    right = load(write(tmp_path / "right", "gte", model, tokenizer))
    folder = write(tmp_path / "wrong", "gte", model, tokenizer)

    def swap(tensors):
        for name in [name for name in tensors if "up_gate" in name]:
            tensors[name] = torch.cat(tensors[name].chunk(2)[::-1])

    edited(folder, swap)
    assert (scores(load(folder)) - scores(right)).abs().max() > 1e-2


def test_a_model_built_by_remote_code_is_refused_with_the_way_out():
    model, tokenizer = tiny("gte")
    foreign = type("GteForSequenceClassification", (GteForSequenceClassification,), {})
    foreign.__module__ = "transformers_modules.some.modeling"
    model.__class__ = foreign
    with pytest.raises(ValueError, match="checkpoint's own code, .*give its hub id or folder"):
        load(model, tokenizer)
