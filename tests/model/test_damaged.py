"""A damaged checkpoint is refused by a message that names it, never by another library's error.

`python tests/model/test_damaged.py 500` damages 500 checkpoints instead of a few.
"""

import json
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from saved import reconfigure, save
from tiny import tiny

from crosslens import load


FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")
VALUES = (None, True, -1, 0, 3, 10**7, 1e30, "", "nonsense", [], [1, "a"], {}, {"a": 1})


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every container of a JSON tree with each of its keys, but for the words of a vocabulary."""
    keys = list(tree.keys()) if isinstance(tree, dict) else list(range(len(tree)))
    found = [(tree, key) for key in keys[:40]]
    for key in keys:
        found += places(tree[key]) if isinstance(tree[key], dict | list) else []
    return found


def damage(path: Path, draw: random.Random) -> str:
    """Damage the file in one way, and say in which."""
    whole = path.read_bytes()
    is_json = path.suffix == ".json"
    kind = draw.choice(["cut", "byte", *["key", "value", "value"] * is_json])
    if kind == "cut":
        path.write_bytes(whole[: draw.randrange(len(whole))])
        return f"{path.name} cut"
    if kind == "byte":  # in the header of weights: of a changed weight no reader can know
        at = draw.randrange(len(whole) if is_json else 4000)
        path.write_bytes(whole[:at] + bytes([draw.randrange(256)]) + whole[at + 1 :])
        return f"byte {at} of {path.name}"
    tree = json.loads(whole)
    container, key = draw.choice(places(tree))
    if kind == "key":
        del container[key]
    else:
        container[key] = draw.choice(VALUES)
    path.write_text(json.dumps(tree))
    now = container[key] if kind == "value" else "absent"
    return f"{path.name}: {key} is {json.dumps(now)[:60]}"


def attempt(folder: Path, seed: int) -> str | None:
    """What is wrong with how the damage of `seed` is met, if anything is."""
    draw = random.Random(seed)
    what = damage(folder / draw.choice(FILES), draw)
    try:
        model = load(folder)
        model.score("why do cats purr", ["cats purr", "paris"])
    except ValueError as error:
        if str(folder) not in str(error) or "\n" in str(error):
            return f"{seed} {what}: the message names no file: {error}"
    except Exception as error:
        return f"{seed} {what}: {type(error).__name__}: {error}"
    return None


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A small checkpoint, undamaged."""
    return save(tmp_path_factory.mktemp("whole"), *tiny("bert"))


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    """A copy of it."""
    return shutil.copytree(whole, tmp_path / "checkpoint")


@pytest.mark.filterwarnings("default")  # of other libraries, about what they make of the damage
@pytest.mark.parametrize("seeds", [range(start, start + 8) for start in (0, 8, 16, 24, 32)])
def test_no_damage_surfaces_as_another_librarys_error(whole, tmp_path, seeds):
    faults = [attempt(shutil.copytree(whole, tmp_path / f"seed{seed}"), seed) for seed in seeds]
    assert not any(faults), "\n".join(filter(None, faults))


@pytest.mark.parametrize(
    "key, value",
    [
        ("num_hidden_layers", 10**6),
        ("inner_group_num", 10**9),
        ("num_labels", 10**7),
        ("vocab_size", 10**12),
        ("intermediate_size", "wide"),
        ("hidden_size", -24),
        ("max_position_embeddings", 10**10),
    ],
)
def test_a_size_that_the_weights_do_not_hold_is_refused_before_memory_is_taken(folder, key, value):
    config = json.loads((folder / "config.json").read_text()) | {key: value}
    config.pop("id2label") if key == "num_labels" else None
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f"config.json: {key} is .* but the weights hold"):
        load(folder)


def test_a_head_of_another_size_is_refused(folder):
    reconfigure(folder, id2label={"0": "no", "1": "yes"})
    with pytest.raises(ValueError, match=r"classifier.weight of shape \(1, 24\), .* \(2, 24\)"):
        load(folder)


def test_layers_that_the_config_leaves_out_are_noticed(folder):
    reconfigure(folder, num_hidden_layers=2)
    with pytest.raises(ValueError, match="layer.2.* of layers that config.json leaves out"):
        load(folder)


def test_a_bias_that_the_config_leaves_out_is_noticed(tmp_path):
    folder = save(tmp_path / "gated", *tiny("modernbert"))
    body = load_file(folder / "model.safetensors")
    body["model.layers.1.attn.Wqkv.bias"] = torch.randn(72)
    save_file(body, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="layers.1.attn.Wqkv.bias and 0 more, which no module"):
        load(folder)


def test_weights_that_are_a_pointer_cut_or_missing(folder):
    path = folder / "model.safetensors"
    body = path.read_bytes()
    path.write_bytes(body[:5000])
    with pytest.raises(ValueError, match=r"model.safetensors \(5000 bytes\) is damaged or cut"):
        load(folder)
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n")
    with pytest.raises(ValueError, match=r"model.safetensors: .* run `git lfs pull`"):
        load(folder)
    path.unlink()
    with pytest.raises(ValueError, match="holds no weights"):
        load(folder)


def test_a_missing_shard_is_named(folder):
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"classifier.bias": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="lacks model-00001-of-00001.safetensors"):
        load(folder)


def test_a_weight_that_is_no_number_is_named(folder):
    path = folder / "model.safetensors"
    body = load_file(path)
    body["bert.embeddings.word_embeddings.weight"][60, 3] = float("nan")  # of a word seldom read
    save_file(body, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="1 of .* in bert.embeddings.word_embeddings.weight"):
        load(folder)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("auto_map", {"AutoModel": "m.M"}, "asks for code of its own"),
        ("quantization_config", {"bits": 4}, "quantized"),
        ("position_embedding_type", "relative_key", "attention to distances"),
    ],
)
def test_what_no_family_follows_is_refused(folder, key, value, message):
    reconfigure(folder, **{key: value})
    with pytest.raises(ValueError, match=f"config.json declares {key}.*: .*{message}"):
        load(folder)


@pytest.mark.parametrize("family", ["bert", "electra", "roberta", "xlm-roberta-xl"])
def test_an_encoder_that_reads_as_a_decoder_is_refused(tmp_path, family):
    original, words = tiny(family)
    save(tmp_path, original, words)
    reconfigure(tmp_path, is_decoder=True)
    with pytest.raises(ValueError, match="config.json declares is_decoder"):
        load(tmp_path)


@pytest.mark.parametrize("device", ["cuda:99", "gpu0", "meta"])
def test_a_device_that_is_not_there_is_named(folder, device):
    with pytest.raises(ValueError, match=f"device '{device}' cannot be used .* has cpu"):
        load(folder, device=device)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        save(f"{scratch}/whole", *tiny("bert"))
        met = 0
        for seed in range(int(sys.argv[1])):
            copy = Path(shutil.copytree(f"{scratch}/whole", f"{scratch}/seed{seed}"))
            if (fault := attempt(copy, seed)) is not None:
                print(fault[:400], flush=True)
                met += 1
            shutil.rmtree(copy)
        print(f"{met} faults in {sys.argv[1]} damaged checkpoints")
