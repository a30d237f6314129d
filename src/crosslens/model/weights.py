"""The weights of a checkpoint before they are read: do the files hold what config.json asks for?"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from safetensors import safe_open
from torch import nn

from .checkpoint_files import blamed, CheckpointFiles, pointer


class Stored(NamedTuple):
    """What the header of a file says of one tensor."""

    shape: tuple[int, ...]
    dtype: str


# In the order in which transformers looks for them.
WHOLE: Final = ("model.safetensors", "pytorch_model.bin")
SHARDED: Final = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
LAYERS: Final = (
    *("num_hidden_layers", "n_layers", "num_layers", "num_decoder_layers"),
    *("num_hidden_groups", "inner_group_num"),  # ALBERT's, whose layers share weights
)
SIZES: Final = (
    "vocab_size",
    "hidden_size",
    "embedding_size",
    "intermediate_size",
    "dim",
    "hidden_dim",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "n_heads",
    "num_labels",
    "max_position_embeddings",
    "type_vocab_size",
    "d_model",
    "d_ff",
    "d_kv",
    "num_heads",
    "relative_attention_num_buckets",
)


FLOATS: Final = {"F16", "BF16", "F32", "F64"} | {
    f"torch.{kind}" for kind in ("float16", "bfloat16", "float32", "float64")
}
SAME: Final = "take config.json and weights from the same checkpoint"
LEAST: Final = {"type_vocab_size": 0}  # DeBERTa has none


def stored_tensors(files: CheckpointFiles) -> dict[str, Stored]:
    """Every tensor in the weight files by name, from the headers alone.

    Raises:
        ValueError: there are no weights, or a file is damaged, cut, or a pointer of git-lfs.
    """
    return {
        name: stored for path in weight_files(files) for name, stored in tensors_in(path).items()
    }


def weight_files(files: CheckpointFiles) -> list[Path]:
    """The files that hold the weights, whole or in shards.

    Raises:
        ValueError: there are none, or an index names one that is not there.
    """
    for whole, index in zip(WHOLE, SHARDED, strict=True):
        if (path := files.find(whole)) is not None:
            return [path]
        if files.find(index) is not None:
            return shards(files, index)
    raise ValueError(
        f"{files.name} holds no weights: neither {' nor '.join(WHOLE)}, whole or in shards; "
        "copy or download the checkpoint again"
    )


def shards(files: CheckpointFiles, index: str) -> list[Path]:
    """The files that an index names, all of them there."""
    named = files.json(index).get("weight_map")
    if not (isinstance(named, Mapping) and named):
        raise ValueError(f"{files.name}/{index} names no file of weights: download it again")
    found = []
    for shard in sorted({str(file) for file in named.values()}):
        path = files.find(shard)
        if path is None:
            raise ValueError(
                f"{files.name} lacks {shard}, which its {index} names: download that file"
            )
        found.append(path)
    return found


def tensors_in(path: Path) -> dict[str, Stored]:
    """Every tensor in one file of weights, by name."""
    if (remedy := pointer(path)) is not None:
        raise ValueError(f"{path}: {remedy}")
    with blamed(f"{path} ({path.stat().st_size} bytes) is damaged or cut, download it again"):
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as held:
                slices = {name: held.get_slice(name) for name in held.keys()}  # noqa: SIM118
                return {n: Stored(tuple(s.get_shape()), s.get_dtype()) for n, s in slices.items()}
        tensors = torch.load(path, map_location="meta", weights_only=True)
        return {n: Stored(tuple(t.shape), str(t.dtype)) for n, t in tensors.items()}


def check_sizes(name: str, config: Mapping[str, Any], stored: Mapping[str, Stored]) -> None:
    """Refuse a config.json that asks for more than the weights hold, before memory is taken.

    Raises:
        ValueError: a size is no whole number, or is more than any tensor could serve.
    """
    largest = max((prod(tensor.shape) for tensor in stored.values()), default=0)
    layers = dict.fromkeys(LAYERS, len(stored))
    sizes = dict.fromkeys(SIZES, largest)
    if "rope_parameters" in config or "rope_theta" in config:  # positions without a table
        del sizes["max_position_embeddings"]
    labels = config.get("id2label")
    asked = {**config, **({"num_labels": len(labels)} if isinstance(labels, Mapping) else {})}
    for key, most in (layers | sizes).items():
        if (value := asked.get(key)) is None:
            continue
        if type(value) is not int or value < LEAST.get(key, 1) or value > most:
            raise ValueError(
                f"{name}/config.json: {key} is {json.dumps(value)[:60]}, but the weights hold "
                f"{len(stored)} tensors of at most {largest} numbers; {SAME}"
            )


def check_tensors(name: str, model: nn.Module, stored: Mapping[str, Stored]) -> None:
    """Refuse weights that are not those that `model`, built from config.json, would take.

    Of another shape, of whole numbers (quantized), or of layers that config.json leaves out, or
    their biases. Other names that only one of the two knows are for transformers, which renames
    old ones.
    """
    expected = model.state_dict()
    for parameter, tensor in expected.items():
        if (found := stored.get(parameter)) is None:
            continue
        if found.shape != tuple(tensor.shape):
            raise ValueError(
                f"{name}: the weights hold {parameter} of shape {found.shape}, config.json asks "
                f"for {tuple(tensor.shape)}; {SAME}"
            )
        if tensor.is_floating_point() and found.dtype not in FLOATS:
            raise ValueError(
                f"{name}: the weights hold {parameter} as {found.dtype}, quantized; CrossLens "
                "reads 16, 32 and 64 bit floating-point weights"
            )
    kinds = {numberless(parameter) for parameter in expected}
    others = [n for n in stored if n not in expected]
    if dropped := [n for n in others if numberless(n) in kinds]:
        raise ValueError(
            f"{name}: the weights hold {dropped[0]} and {len(dropped) - 1} more of layers that "
            f"config.json leaves out; {SAME}"
        )
    biases = {re.sub(r"\.weight$", ".bias", kind) for kind in kinds}
    if dropped := [n for n in others if numberless(n) in biases and numberless(n) != n]:
        raise unread(name, dropped)


def check_places(name: str, model: nn.Module, stored: Mapping[str, Stored]) -> None:
    """Refuse a tensor that `model` would leave out, where nobody renames any more.

    Raises:
        ValueError: there is one, as a bias that config.json does not declare.
    """
    if left_out := sorted(stored.keys() - model.state_dict().keys()):
        raise unread(name, left_out)


def unread(name: str, tensors: Sequence[str]) -> ValueError:
    """The error for tensors that no module takes."""
    return ValueError(
        f"{name}: the weights hold {tensors[0]} and {len(tensors) - 1} more, which no module that "
        f"config.json asks for reads; {SAME}"
    )


def numberless(parameter: str) -> str:
    """The name of a parameter without the number of its layer."""
    return re.sub(r"\.\d+\.", ".", parameter)


def check_finite(name: str, parameters: Iterable[tuple[str, torch.Tensor]]) -> None:
    """Refuse weights that hold nan or infinity: every score would rest on them."""
    for parameter, value in parameters:
        n_bad = int((~torch.isfinite(value)).sum())
        if n_bad:
            raise ValueError(
                f"{name}: {n_bad} of {value.numel()} numbers in {parameter} are nan or infinite; "
                "the checkpoint's own scores are then no numbers: its training overflowed or its "
                "file is damaged"
            )
