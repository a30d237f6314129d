"""Any checkpoint of a supported family scores as it did; anything else is refused by name."""

import copy
import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from saved import change, reconfigure, save
from tiny import config, FAMILIES, KIN, tiny
from tokenizers import processors
from torch import nn

from crosslens import CrossEncoder, Hook, load, Site
from crosslens.model import load as loading
from crosslens.model.families import bert


QUERIES = ["why do cats purr", "capital of france", "python"]
DOCUMENTS = [
    "cats purr when they rest",
    "paris is the capital and largest city . the engine of a car is in the town , and in the "
    "river a python . how long do cats sleep when bananas are rich in potassium ?",
    "a large snake",
]


def logits(model: CrossEncoder) -> torch.Tensor:
    with model.record("logits") as cache:
        model(model.pairs(QUERIES, DOCUMENTS))
    return cache[Site("logits")]


@torch.no_grad()
def originals_logits(original, tokenizer) -> torch.Tensor:
    """By the original and its own tokenizer, nothing of ours in between."""
    inputs = tokenizer(QUERIES, DOCUMENTS, padding=True, return_tensors="pt")
    return original(**inputs).logits


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved BERT with one label."""
    return save(tmp_path, *tiny("bert"))


@pytest.mark.parametrize("n_labels", [1, 2])
@pytest.mark.parametrize("family", [*FAMILIES, *KIN])
def test_scores_are_the_originals(family, n_labels, tmp_path):
    original, tokenizer = tiny(family, num_labels=n_labels)
    expected = originals_logits(original, tokenizer)
    assert 0.05 < expected.abs().max() < 5, "a tolerance means something for scores near 1"
    in_memory = load(original, tokenizer)
    from_disk = load(str(save(tmp_path, original, tokenizer)))
    for model in (in_memory, from_disk):
        assert (logits(model) - expected).abs().max().item() <= 1e-6
        with model.record("pattern"):  # forbids the fused kernel
            assert (logits(model) - expected).abs().max().item() <= 1e-6
    scores = from_disk(from_disk.pairs(QUERIES, DOCUMENTS))
    rule = expected[:, 0] if n_labels == 1 else expected[:, 1] - expected[:, 0]
    torch.testing.assert_close(scores, rule, rtol=0, atol=2e-6)
    assert from_disk.cfg.family == original.config.model_type
    assert from_disk.cfg.checkpoint == str(tmp_path)


VARIANTS = {
    "a table of two sentence kinds": ("deberta-v2", {"type_vocab_size": 2}),
    "positions added to the words": ("deberta-v2", {"position_biased_input": True}),
    "maps of its own for positions": ("deberta-v2", {"share_att_key": False}),
    "content to position only": ("deberta-v2", {"pos_att_type": ["c2p"]}),
    "narrow embeddings": ("deberta-v2", {"embedding_size": 16}),
    "no relative positions": ("deberta-v2", {"relative_attention": False}),
    "no buckets": ("deberta-v2", {"position_buckets": -1}),
    "a hidden size that needs no projection": ("electra", {"embedding_size": 24}),
    "relu": ("bert", {"hidden_act": "relu"}),
    "biases everywhere": (
        "modernbert",
        {"attention_bias": True, "mlp_bias": True, "norm_bias": True, "classifier_bias": True},
    ),
    "global attention everywhere": ("modernbert", {"global_attn_every_n_layers": 1}),
}


@pytest.mark.parametrize("family, changes", VARIANTS.values(), ids=VARIANTS)
def test_variants_of_a_family_score_as_the_originals(family, changes):
    changed = config(family)
    for name, value in changes.items():
        setattr(changed, name, value)
    original, tokenizer = tiny(family)
    original = type(original)(type(changed)(**(changed.to_dict() | changes))).eval()
    expected = originals_logits(original, tokenizer)
    torch.testing.assert_close(logits(load(original, tokenizer)), expected, rtol=0, atol=1e-6)


def test_the_original_in_memory_stays_as_it_was(family):
    original, tokenizer = tiny(family)
    original.train()
    for parameter in list(original.parameters())[::2]:
        parameter.requires_grad_(False)
    before = copy.deepcopy(original)
    model = load(original, tokenizer)
    hook = Hook(Site("z", 1).at(head=0), torch.zeros_like)
    with model.hooked(hook), model.record(*model.sites()):
        model(model.pairs(QUERIES, DOCUMENTS))

    for (name, old), (_, new) in zip(before.named_modules(), original.named_modules(), strict=True):
        assert type(old) is type(new) and vars(old).keys() == vars(new).keys(), name
        # what the hooked model shares is in evaluation mode
        assert old.training or not new.training, name
        assert not new._forward_hooks and not new._forward_pre_hooks, name
    for (name, old), (_, new) in zip(
        before.named_parameters(), original.named_parameters(), strict=True
    ):
        assert torch.equal(old, new) and old.requires_grad == new.requires_grad, name
    assert before.config.to_dict() == original.config.to_dict()


def test_a_model_in_training_mode_scores_without_dropout(family):
    original, tokenizer = tiny(family)
    expected = originals_logits(original, tokenizer)
    original.train()
    assert torch.equal(logits(load(original, tokenizer)), logits(load(original, tokenizer)))
    torch.testing.assert_close(logits(load(original, tokenizer)), expected, rtol=0, atol=1e-6)


def test_weights_are_shared_not_copied(family):
    original, tokenizer = tiny(family)
    model = load(original, tokenizer)
    theirs = {parameter.data_ptr() for parameter in original.parameters()}
    assert {parameter.data_ptr() for parameter in model.parameters()} <= theirs


def test_nothing_global_is_touched(folder):
    def state():
        return (
            torch.is_grad_enabled(),
            torch.get_default_dtype(),
            torch.get_rng_state().tolist(),
            torch.get_num_threads(),
            transformers.logging.get_verbosity(),
        )

    before = state()
    model = load(folder)
    model.score(QUERIES[0], DOCUMENTS)
    assert state() == before


def test_weights_from_disk_are_frozen_and_in_full_precision(tmp_path):
    original, tokenizer = tiny("bert")
    folder = save(tmp_path, original.bfloat16(), tokenizer)
    model = load(folder)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_model_in_memory_keeps_its_half_precision_up_to_the_last_map():
    original, tokenizer = tiny("bert")
    model = load(original.bfloat16(), tokenizer)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    with model.record("pooled") as cache:
        assert model(model.pairs(QUERIES, DOCUMENTS)).dtype == torch.float32
    assert cache[Site("pooled")].dtype == torch.bfloat16
    assert logits(model).dtype == torch.float32


def test_a_tokenizer_may_come_from_elsewhere(folder):
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(
        ValueError, match=r"holds no tokenizer of its model .*load\(checkpoint, tok"
    ):
        load(folder)
    original, tokenizer = tiny("bert")
    expected = originals_logits(original, tokenizer)
    torch.testing.assert_close(logits(load(folder, tokenizer)), expected, rtol=0, atol=1e-6)


def test_a_copy_is_a_model_of_its_own(family):
    model = load(*tiny(family))
    expected = logits(model)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(logits(twin), expected)


def test_a_sentence_transformers_cross_encoder(folder):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    theirs = sentence_transformers.CrossEncoder(str(folder), device="cpu")
    raw = theirs.predict(
        list(zip(QUERIES, DOCUMENTS, strict=True)),
        activation_fn=nn.Identity(),
        convert_to_tensor=True,
    )
    model = load(theirs)
    scores = model(model.pairs(QUERIES, DOCUMENTS))
    torch.testing.assert_close(scores.detach(), raw, rtol=0, atol=1e-6)
    assert isinstance(model.activation, nn.Sigmoid)


@pytest.mark.parametrize(
    "declared, expected",
    [
        ({}, nn.Sigmoid),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, nn.Identity),
        (
            {
                "sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Tanh"},
                "sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity",
            },
            nn.Tanh,
        ),
    ],
)
def test_the_declared_activation_is_known_and_not_applied(folder, declared, expected):
    plain = logits(load(folder))
    reconfigure(folder, **declared)
    model = load(folder)
    assert type(model.activation) is expected
    assert torch.equal(model(model.pairs(QUERIES, DOCUMENTS)), plain[:, 0])


def test_two_labels_declare_no_activation(tmp_path):
    model = load(save(tmp_path, *tiny("bert", num_labels=2)))
    assert type(model.activation) is nn.Identity


def test_an_activation_that_torch_does_not_have_is_refused(folder):
    reconfigure(folder, sentence_transformers={"activation_fn": "my.package.Squash"})
    with pytest.raises(ValueError, match="declares the activation 'my.package.Squash'"):
        load(folder)


def test_labels_by_name_by_caller_and_by_convention():
    named = {0: "relevant", 1: "not relevant"}
    for options, changes, expected in [
        ({}, {}, (1, 0)),
        ({}, {"id2label": named}, (0, 1)),
        ({"relevant": 1}, {"id2label": named}, (1, 0)),
        ({"relevant": 0}, {}, (0, 1)),
    ]:
        original, tokenizer = tiny("bert", num_labels=2)
        for name, value in changes.items():
            setattr(original.config, name, value)
        model = load(original, tokenizer, **options)
        up, down = expected
        scores = model(model.pairs(QUERIES, DOCUMENTS))
        assert torch.equal(scores, logits(model)[:, up] - logits(model)[:, down])


def test_max_length_shortens_what_the_model_reads(folder):
    model = load(folder, max_length=16)
    pairs = model.pairs(QUERIES, DOCUMENTS)
    assert model.cfg.n_positions == 16
    assert pairs.token.shape[1] == 16 and pairs.cut.tolist()[0] == 0 < pairs.cut.tolist()[1]


def test_the_shortest_limit_loads_with_either_truncation(folder):
    for truncation in ("longest_first", "only_second"):
        assert load(folder, max_length=8, truncation=truncation).cfg.n_positions == 8


# --- refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize("wished", [0, 7, 97])
def test_a_length_the_model_cannot_take_is_refused(folder, wished):
    with pytest.raises(ValueError, match=f"max_length={wished}; this checkpoint takes 8 to 96"):
        load(folder, max_length=wished)


@pytest.mark.parametrize(
    "architecture, what",
    [
        ("BertForMaskedLM", "a masked language model"),
        ("BertModel", "a bare encoder"),
        ("BertForTokenClassification", "not a sequence classifier"),
    ],
)
def test_a_checkpoint_that_is_no_sequence_classifier_is_refused(folder, architecture, what):
    reconfigure(folder, architectures=[architecture])
    with pytest.raises(ValueError, match=f"{architecture} is {what}"):
        load(folder)
    in_memory = getattr(transformers, architecture)(config("bert"))
    with pytest.raises(ValueError, match=f"{architecture} is {what}"):
        load(in_memory, tiny("bert")[1])


def test_a_bi_encoder_is_refused(folder):
    modules = [{"type": "sentence_transformers.models.Pooling"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ValueError, match="bi-encoder"):
        load(folder)


@pytest.mark.parametrize(
    ("file", "key"),
    [("config.json", "max_position_embeddings"), ("tokenizer_config.json", "model_max_length")],
)
def test_a_limit_without_room_for_two_texts_is_refused(tmp_path, file, key):
    save(tmp_path, *tiny("deberta-v2"))  # whose positions have no table
    change(tmp_path / file, **{key: 7})
    with pytest.raises(ValueError, match=f"takes pairs of 7 tokens at most .*{key}"):
        load(tmp_path)
    change(tmp_path / file, **{key: 8})
    assert load(tmp_path).cfg.n_positions == 8


def test_an_activation_that_nobody_knows_is_refused(tmp_path):
    save(tmp_path, *tiny("deberta-v2"))
    reconfigure(tmp_path, pooler_hidden_act="gelu-ish")
    with pytest.raises(ValueError, match="config.json declares pooler_hidden_act 'gelu-ish'"):
        load(tmp_path)


@pytest.mark.parametrize("family", ["gpt2", "nonesuch", None, 3, ["bert"], {}])
def test_an_unknown_family_names_the_supported_ones(folder, family):
    reconfigure(folder, model_type=family, architectures=["GPT2ForSequenceClassification"])
    with pytest.raises(ValueError, match="config.json: its model_type is .* supported.*bert, elec"):
        load(folder)


def test_a_head_that_was_never_trained_is_refused(folder):
    path = folder / "model.safetensors"
    body = {name: x for name, x in load_file(path).items() if not name.startswith("classifier")}
    save_file(body, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"no trained weights for \['classifier.bias'"):
        load(folder)


@pytest.mark.parametrize("name", ["/no/such/folder", "nobody/nothing"])
def test_a_checkpoint_that_is_nowhere(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=f"no checkpoint at '{name}'"):
        load(name)


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint at"):
        load(tmp_path)


def test_three_labels_need_a_word_from_the_caller(tmp_path):
    folder = save(tmp_path, *tiny("bert", num_labels=3))
    with pytest.raises(ValueError, match="3 labels .*load.*relevant=INDEX"):
        load(folder)
    with pytest.raises(ValueError, match="relevant=3, but the model has labels 0 to 2"):
        load(folder, relevant=3)
    model = load(folder, relevant=2)
    assert torch.equal(model(model.pairs(QUERIES, DOCUMENTS)), logits(model)[:, 2])


def test_a_model_in_memory_needs_its_tokenizer():
    with pytest.raises(ValueError, match="needs its tokenizer"):
        load(tiny("bert")[0])


@pytest.mark.parametrize("thing", [3, None, nn.Linear(2, 2)])
def test_what_is_no_model_is_refused(thing):
    with pytest.raises(TypeError, match=f"cannot load a {type(thing).__name__}"):
        load(thing)


def test_a_slow_tokenizer_is_refused():
    class SlowTokenizer(transformers.PreTrainedTokenizerFast):
        is_fast = False

    original, fast = tiny("bert")
    slow = SlowTokenizer(tokenizer_object=fast.backend_tokenizer)
    with pytest.raises(ValueError, match="SlowTokenizer .*needs a fast tokenizer"):
        load(original, slow)


def test_a_wrong_adoption_is_caught_on_load(monkeypatch):
    def swapped(model):
        parts = bert.parts(model)
        for block in parts.blocks:
            block.norm1, block.norm2 = block.norm2, block.norm1
        return parts

    monkeypatch.setitem(loading.FAMILIES, "bert", swapped)
    with pytest.raises(RuntimeError, match="differs from .* in a logit"):
        load(*tiny("bert"))


def test_weights_that_give_no_number_are_refused():
    original, tokenizer = tiny("bert")
    with torch.no_grad():
        original.classifier.weight.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"24 of 24 numbers in classifier.weight are nan"):
        load(original, tokenizer)


def test_token_types_are_those_of_the_tokenizer():
    """A BERT whose tokenizer calls all of a pair sentence A reads it so, and so do we."""
    original, _ = tiny("bert")
    _, without_types = tiny("bert")
    ids = {name: without_types.convert_tokens_to_ids(name) for name in ("[CLS]", "[SEP]")}
    without_types.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=list(ids.items()),
    )
    expected = originals_logits(original, without_types)
    torch.testing.assert_close(logits(load(original, without_types)), expected, rtol=0, atol=1e-6)
    assert (expected - originals_logits(original, tiny("bert")[1])).abs().max() > 1e-3
