"""What a checkpoint declares beside its weights is followed, or refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling
from tiny import tiny

from crosslens import load


PAIRS = [("why do cats purr", "cats purr when they rest"), ("cats", "the engine of a car , and")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model, tokenizer = tiny("bert")
    model.save_pretrained(tmp_path / "plain")
    tokenizer.save_pretrained(tmp_path / "plain")
    return tmp_path / "plain"


def saved(encoder: CrossEncoder, path: Path) -> Path:
    encoder.save_pretrained(str(path))
    return path


def predicted(encoder: CrossEncoder) -> torch.Tensor:
    return torch.as_tensor(encoder.predict(PAIRS, activation_fn=torch.nn.Identity())).flatten()


def scored(checkpoint: Any) -> torch.Tensor:
    model = load(checkpoint)
    with torch.no_grad():
        return model(model.pairs([query for query, _ in PAIRS], [text for _, text in PAIRS]))


@pytest.mark.parametrize("activation", ["Identity", "Sigmoid", "Tanh"])
def test_the_declared_activation_is_read_from_folder_and_instance(
    folder: Path, tmp_path: Path, activation: str
) -> None:
    made = getattr(torch.nn, activation)()
    encoder = CrossEncoder(str(folder), activation_fn=made, device="cpu")
    for what in (encoder, saved(encoder, tmp_path / "saved")):
        assert type(load(what).activation).__name__ == activation


def test_an_activation_of_somebody_elses_code_is_refused(folder: Path) -> None:
    (folder / "modules.json").write_text(
        json.dumps(
            [{"idx": 0, "path": "", "type": "sentence_transformers.base.modules.Transformer"}]
        )
    )
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"model_type": "CrossEncoder", "activation_fn": "os.system"})
    )
    with pytest.raises(ValueError, match="declares the activation 'os.system'"):
        load(folder)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_bare_encoder_with_pooling_and_maps_is_scored_as_predict_does(
    folder: Path, tmp_path: Path, pooling: str
) -> None:
    width = tiny("bert")[0].config.hidden_size
    torch.manual_seed(0)
    encoder = CrossEncoder(
        modules=[
            Transformer(str(folder)),
            Pooling(width, pooling),
            Dense(width, width, bias=False, activation_function=torch.nn.GELU()),
            LayerNorm(width),
            Dense(width, 1, activation_function=torch.nn.Identity(), module_output_name="scores"),
        ],
        device="cpu",
        activation_fn=torch.nn.Identity(),
    )
    expected = predicted(encoder)
    assert float(expected.std()) > 1e-3
    for what in (encoder, saved(encoder, tmp_path / "saved")):
        assert torch.allclose(scored(what), expected, atol=1e-5)


def test_a_module_behind_the_classifier_is_refused(folder: Path, tmp_path: Path) -> None:
    base = CrossEncoder(str(folder), device="cpu")
    last = Dense(
        1,
        1,
        activation_function=torch.nn.Identity(),
        module_input_name="scores",
        module_output_name="scores",
    )
    encoder = CrossEncoder(modules=[base[0], last], device="cpu")
    for what in (encoder, saved(encoder, tmp_path / "saved")):
        with pytest.raises(ValueError, match="the score passes Transformer, Dense"):
            load(what)


def test_a_default_prompt_is_refused_and_an_unused_one_is_not(folder: Path, tmp_path: Path) -> None:
    prompts = {"web": "find the town: "}
    encoder = CrossEncoder(str(folder), device="cpu", prompts=prompts, default_prompt_name="web")
    for what in (encoder, saved(encoder, tmp_path / "saved")):
        with pytest.raises(ValueError, match="default prompt 'find the town: '"):
            load(what)
    unused = CrossEncoder(str(folder), device="cpu", prompts=prompts)
    expected = predicted(unused)
    for what in (unused, saved(unused, tmp_path / "unused")):
        assert torch.allclose(scored(what), expected, atol=1e-5)


def test_the_declared_length_and_truncation_are_the_checkpoints(
    folder: Path, tmp_path: Path
) -> None:
    encoder = CrossEncoder(str(folder), device="cpu", max_length=12)
    path = saved(encoder, tmp_path / "saved")
    long = " ".join(["cats purr and rest"] * 6)
    expected = float(encoder.predict([("cats", long)], activation_fn=torch.nn.Identity())[0])
    for what in (encoder, path):
        model = load(what)
        assert model.cfg.n_positions == 12
        assert float(model.score("cats", [long])) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"processing_kwargs": {"text": {"stride": 4}}}, "stride"),
        ({"processing_kwargs": {"text": {"truncation": "only_first"}}}, "only_first"),
        ({"module_output_name": "sentence_embedding"}, "module_output_name"),
        ({"transformer_task": "text-generation"}, "transformer_task"),
        ({"max_seq_length": "many"}, "maximum length"),
    ],
)
def test_options_that_are_not_followed_are_refused(
    folder: Path, tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    path = saved(CrossEncoder(str(folder), device="cpu"), tmp_path / "saved")
    file = path / "sentence_bert_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match=f"sentence_bert_config.json.*{why}"):
        load(path)


def test_a_bi_encoder_is_refused(folder: Path) -> None:
    kinds = ("base.modules.transformer.Transformer", "sentence_transformer.modules.Pooling")
    (folder / "modules.json").write_text(
        json.dumps(
            [
                {"idx": i, "path": f"{i}" if i else "", "type": f"sentence_transformers.{kind}"}
                for i, kind in enumerate(kinds)
            ]
        )
    )
    with pytest.raises(ValueError, match="is a bi-encoder"):
        load(folder)
