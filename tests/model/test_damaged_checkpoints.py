"""A damaged checkpoint is refused by the name of what is damaged, never by another library."""

import json
import random
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny

from crosslens import load


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 46123456\n"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    model, tokenizer = tiny("bert")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "checkpoint"))


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_pointer_of_git_lfs_is_known(folder: Path, file: str) -> None:
    (folder / file).write_text(POINTER)
    with pytest.raises(ValueError, match=f"{file}.*git-?lfs|{folder.name}.*tokenizer"):
        load(folder)


def test_cut_weights_are_named(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5_000])
    with pytest.raises(ValueError, match=r"model.safetensors \(5000 bytes\) is damaged or cut"):
        load(folder)


def test_weights_that_are_not_numbers_are_named(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"] = torch.full_like(weights["classifier.bias"], torch.nan)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"1 of 1 numbers in classifier.bias are nan"):
        load(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 10**6),
        ("vocab_size", 10**9),
        ("id2label", {str(i): str(i) for i in range(3)}),
        ("num_attention_heads", 0),
        ("hidden_act", "no such function"),
        ("hidden_size", "wide"),
        ("model_type", "nobody"),
        ("architectures", "BertForSequenceClassification"),
    ],
)
def test_a_config_that_does_not_fit_the_weights_is_named(
    folder: Path, key: str, value: object
) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(ValueError, match=str(folder)):
        load(folder)


def test_a_token_without_an_embedding_is_named() -> None:
    model, tokenizer = tiny("bert")
    n_known = model.config.vocab_size
    tokenizer.add_tokens([f"drug{i}" for i in range(len(tokenizer), n_known)] + ["remdesivir"])
    hooked = load(model, tokenizer)
    with pytest.raises(ValueError, match="'remdesivir'.*the model has embeddings for"):
        hooked.score("a drug", ["remdesivir is a drug"])


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_any_damage_is_refused_by_name_or_scores_as_before(folder: Path, file: str) -> None:
    """Bytes cut, flipped, doubled: forty of each file, drawn by seed."""
    whole = (folder / file).read_bytes()
    draw = random.Random(file)
    refused = 0
    for _ in range(40):
        content, at = bytearray(whole), draw.randrange(len(whole))
        damage = draw.choice(["cut", "flip", "double", "remove"])
        if damage == "cut":
            content = content[:at]
        elif damage == "flip":
            content[at] ^= 1 << draw.randrange(8)
        elif damage == "double":
            content = content[:at] + content[at : at + 50] + content[at:]
        else:
            content = content[:at] + content[at + draw.randrange(1, 60) :]
        (folder / file).write_bytes(content)
        try:
            load(folder)
        except (ValueError, RuntimeError) as error:
            refused += 1
            assert str(folder) in str(error), error
    assert refused > 5
