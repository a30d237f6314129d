"""What sentence-transformers saved beside the weights is followed, or refused by name."""

import json
from pathlib import Path

import pytest
import torch
from saved import change, save
from tiny import config, tiny
from torch import nn
from transformers import BertModel, ModernBertModel

from crosslens import CrossEncoder, load


st = pytest.importorskip("sentence_transformers")
from sentence_transformers.base.modules import Dense, Transformer  # noqa: E402
from sentence_transformers.sentence_transformer.modules import Dropout, LayerNorm, Pooling  # noqa: E402


QUERIES = ["why do cats purr", "capital of france", "python"]
DOCUMENTS = ["cats purr when they rest", "paris is the capital . " * 9, "a [SEP] large [PAD] snake"]
PAIRS = list(zip(QUERIES, DOCUMENTS, strict=True))


def plain(folder: Path) -> str:
    """A saved BERT with one label, without anything of sentence-transformers."""
    return str(save(folder, *tiny("bert")))


def resaved(encoder, folder: Path) -> Path:
    encoder.save_pretrained(str(folder), create_model_card=False)
    return folder


def scores(model: CrossEncoder) -> torch.Tensor:
    return model(model.pairs(QUERIES, DOCUMENTS)).detach()


def predicted(encoder) -> torch.Tensor:
    return encoder.predict(PAIRS, activation_fn=nn.Identity(), convert_to_tensor=True)


@pytest.fixture
def encoder(tmp_path):
    return st.CrossEncoder(plain(tmp_path / "plain"), device="cpu", activation_fn=nn.Tanh())


def test_the_activation_is_the_checkpoints_own(encoder, tmp_path):
    folder = resaved(encoder, tmp_path / "saved")
    for given in (encoder, folder):
        model = load(given)
        assert type(model.activation) is nn.Tanh
        torch.testing.assert_close(scores(model), predicted(encoder), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"max_seq_length": 16},
        {"processing_kwargs": {"text": {"max_length": 16, "truncation": "only_second"}}},
        {"tokenizer_args": {"model_max_length": 16}},
    ],
)
def test_length_and_truncation_are_the_checkpoints_own(encoder, tmp_path, options):
    folder = resaved(encoder, tmp_path / "saved")
    change(folder / "sentence_bert_config.json", **options)
    theirs = st.CrossEncoder(str(folder), device="cpu")
    for given in (theirs, folder):
        model = load(given)
        assert model.cfg.n_positions == 16
        torch.testing.assert_close(scores(model), predicted(theirs), rtol=0, atol=1e-5)


def modular(folder: Path, bare, tokenizer, pooling: str, *, last=None):
    save(folder, bare, tokenizer)
    width = bare.config.hidden_size
    modules = [
        Transformer(str(folder)),
        Pooling(width, pooling),
        Dense(width, 12, bias=False, activation_function=nn.GELU()),
        LayerNorm(12),
        Dropout(0.5),
        Dense(12, 1, activation_function=last or nn.Identity(), module_output_name="scores"),
    ]
    return st.CrossEncoder(modules=modules, device="cpu", activation_fn=nn.Sigmoid())


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", ["modernbert", "bert"])
def test_a_modular_encoder_scores_as_its_predict(family, pooling, tmp_path):
    """The layout of the Ettin rerankers."""
    whole, tokenizer = tiny(family)
    bare = (ModernBertModel if family == "modernbert" else BertModel)(config(family)).eval()
    bare.load_state_dict(getattr(whole, whole.base_model_prefix).state_dict(), strict=False)
    theirs = modular(tmp_path / "bare", bare, tokenizer, pooling)
    expected = predicted(theirs)
    assert expected.std() > 1e-2
    for given in (theirs, resaved(theirs, tmp_path / "saved")):
        model = load(given)
        torch.testing.assert_close(scores(model), expected, rtol=0, atol=1e-5)
        assert type(model.activation) is nn.Sigmoid
        assert model.reads_scored_row == (pooling == "cls")


def test_a_modular_encoder_is_read_in_16_bit_with_its_modules(tmp_path):
    bare, tokenizer = BertModel(config("bert")).eval(), tiny("bert")[1]
    theirs = modular(tmp_path / "bare", bare, tokenizer, "mean")
    folder = resaved(theirs, tmp_path / "saved")
    half, exact = load(folder, dtype="bf16"), load(folder)
    assert {weight.dtype for weight in half.parameters()} == {torch.bfloat16}
    assert scores(half).dtype == torch.float32
    spread = (scores(exact).max() - scores(exact).min()).item()
    assert 0 < (scores(half) - scores(exact)).abs().max() < 0.2 * spread
    with pytest.raises(ValueError, match="in memory with weights of torch.float32"):
        load(theirs, dtype="bf16")


def test_without_a_list_of_modules_the_file_beside_it_is_not_read(encoder, tmp_path):
    encoder.prompts, encoder.default_prompt_name = {"web": "find: "}, "web"
    folder = resaved(encoder, tmp_path / "saved")
    (folder / "modules.json").unlink()
    theirs, model = st.CrossEncoder(str(folder), device="cpu"), load(folder)
    assert type(model.activation) is type(theirs.activation_fn) is nn.Sigmoid
    torch.testing.assert_close(scores(model), predicted(theirs), rtol=0, atol=1e-5)


# --- refusals -----------------------------------------------------------------------------------


def test_modules_after_the_classifier_are_refused(encoder, tmp_path):
    on_scores = {"module_input_name": "scores", "module_output_name": "scores"}
    longer = st.CrossEncoder(modules=[encoder[0], Dense(1, 1, **on_scores)], device="cpu")
    for given in (longer, resaved(longer, tmp_path / "saved")):
        with pytest.raises(ValueError, match="the score passes Transformer, Dense"):
            load(given)


@pytest.mark.parametrize("pooling, last", [("max", None), ("cls", nn.Tanh())])
def test_modular_layouts_that_are_not_followed_are_refused(pooling, last, tmp_path):
    bare = ModernBertModel(config("modernbert"))
    tokenizer = tiny("modernbert")[1]
    theirs = modular(tmp_path / "bare", bare, tokenizer, pooling, last=last)
    for given in (theirs, resaved(theirs, tmp_path / "saved")):
        with pytest.raises(ValueError, match="'cls' and 'mean' are followed|no Dense that writes"):
            load(given)


def test_a_default_prompt_is_refused(encoder, tmp_path):
    encoder.prompts, encoder.default_prompt_name = {"web": "find: "}, "web"
    for given in (encoder, resaved(encoder, tmp_path / "saved")):
        with pytest.raises(ValueError, match="declares the default prompt 'find: '"):
            load(given)


OPTIONS = {
    "config_sentence_transformers.json": [
        ({"model_type": "SentenceTransformer"}, "is a bi-encoder"),
        ({"default_prompt_name": "web"}, "default_prompt_name is 'web', but its prompts are"),
        ({"prompts": ["a"]}, "prompts is .*expected a text for each name"),
        ({"activation_fn": "os.system"}, "declares the activation 'os.system'"),
        ({"activation_fn": "torch.nn.Linear"}, "declares the activation 'torch.nn.Linear'"),
    ],
    "sentence_bert_config.json": [
        ({"transformer_task": "text-generation"}, "transformer_task is 'text-generation'"),
        ({"modality_config": {"message": {}}}, "modality_config is"),
        ({"do_lower_case": True}, "declares {'do_lower_case': True}"),
        ({"max_seq_length": "long"}, "maximum length is 'long', expected a number"),
        ({"processing_kwargs": {"text": {"truncation": "only_first"}}}, "truncation is 'only_f"),
        ({"processing_kwargs": {"text": {"add_special_tokens": False}}}, "add_special_tokens"),
        ({"config_kwargs": {"num_labels": 2}}, "num_labels.* in config_kwargs"),
    ],
}


@pytest.mark.parametrize(
    "file, changes, message",
    [(file, changes, message) for file, all_ in OPTIONS.items() for changes, message in all_],
)
def test_what_is_not_followed_is_refused_by_file_and_option(
    encoder, tmp_path, file, changes, message
):
    folder = resaved(encoder, tmp_path / "saved")
    change(folder / file, **changes)
    with pytest.raises(ValueError, match=message) as error:
        load(folder)
    assert str(folder) in str(error.value)


def test_a_list_of_no_modules_is_refused(tmp_path):
    folder = Path(plain(tmp_path))
    (folder / "modules.json").write_text("[]")
    with pytest.raises(ValueError, match="modules.json lists no module"):
        load(folder)


def test_code_of_the_checkpoints_own_never_runs(encoder, tmp_path):
    folder = resaved(encoder, tmp_path / "saved")
    (folder / "modules.json").write_text(json.dumps([{"path": "", "type": "custom.Transformer"}]))
    with pytest.raises(ValueError, match=r"lists 'custom.Transformer', code of the checkpoint's"):
        load(folder)


def test_an_activation_that_is_no_module_is_refused(encoder):
    encoder.activation_fn = torch.sigmoid
    with pytest.raises(ValueError, match="expected a torch module"):
        load(encoder)
