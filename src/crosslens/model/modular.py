"""A modular cross-encoder: a bare encoder, pooling, and small modules up to the score.

The layout of the Ettin rerankers (sentence-transformers 5.4 and later): each module in a folder
of its own, listed by modules.json. What the modules compute becomes the head of the hooked model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import nn, Tensor

from .checkpoint_files import blamed, CheckpointFiles
from .declared import activation_named, check_order, Module
from .weights import tensors_in


@dataclass(frozen=True)
class Stage:
    """One module after the encoder: its class, its options, and its weights in place."""

    where: str
    kind: str
    options: Mapping[str, Any]
    weights: nn.Module | None = None  # of a Dense or LayerNorm
    activation: Any = None  # of a Dense

    def refuse(self, why: str) -> ValueError:
        """The error for a module that CrossLens does not follow."""
        return ValueError(
            f"{self.where}: the score passes a {self.kind} that CrossLens does not follow: {why}"
        )


@dataclass(frozen=True)
class Tail:
    """The head of a modular cross-encoder: pooled token, hidden layers, a last linear map."""

    is_mean: bool
    hidden: nn.Sequential
    out: nn.Linear

    def logits(
        self, states: Float[Tensor, "pair pos d_model"], attended: Int[Tensor, "pair pos"]
    ) -> Float[Tensor, "pair label"]:
        """As the modules compute it, for the comparison with the hooked model."""
        weight = attended[:, :, None].to(states.dtype)
        mean = (states * weight).sum(dim=1) / weight.sum(dim=1)
        return self.out(self.hidden(mean if self.is_mean else states[:, 0]))


def tail(name: str, stages: Sequence[Stage], d_model: int) -> Tail:
    """The head that these modules make up.

    Raises:
        ValueError: a module, an option or a size that CrossLens does not follow, by name.
    """
    check_order(name, ["Transformer", *(stage.kind for stage in stages)])
    pooling, *others = stages
    is_mean = reads_mean(pooling)
    hidden: list[nn.Module] = []
    width, feature = d_model, "sentence_embedding"
    for stage in others:
        if feature == "scores":
            raise stage.refuse("it follows the module that gives the score")
        if stage.kind == "Dropout":
            continue
        if stage.kind not in ("Dense", "LayerNorm") or stage.weights is None:
            raise stage.refuse("only Dense, LayerNorm and Dropout may follow the pooling")
        weight = getattr(stage.weights, "weight", None)
        if not isinstance(weight, Tensor) or weight.shape[-1] != width:
            shape = tuple(weight.shape) if isinstance(weight, Tensor) else None
            raise stage.refuse(f"it takes weights of shape {shape} for {width} numbers")
        hidden.append(stage.weights)
        if stage.kind == "LayerNorm":
            continue
        width = len(weight)
        read = stage.options.get("module_input_name", "sentence_embedding")
        feature = stage.options.get("module_output_name") or read
        if read != "sentence_embedding" or feature not in ("sentence_embedding", "scores"):
            raise stage.refuse(f"it reads {read!r} and writes {feature!r}")
        if stage.options.get("use_residual"):
            raise stage.refuse("use_residual adds its input to its output")
        if not isinstance(stage.activation, nn.Module):
            raise stage.refuse(f"its activation {stage.activation!r} is no torch module")
        hidden.append(stage.activation)
    out = hidden[-2] if feature == "scores" else None
    if not isinstance(out, nn.Linear) or type(hidden[-1]) is not nn.Identity:
        raise ValueError(
            f"{name}: the last module is no Dense that writes 'scores' with the activation "
            "Identity, so that there is no logit to explain"
        )
    return Tail(is_mean, nn.Sequential(*hidden[:-2]), out)


def reads_mean(pooling: Stage) -> bool:
    """Whether the pooling is the mean of all tokens; else it is the first token."""
    old = {key: value for key, value in pooling.options.items() if key.startswith("pooling_mode_")}
    modes = pooling.options.get("pooling_mode")
    if modes is None:  # before sentence-transformers 5.4: one option for each kind
        modes = [key.removeprefix("pooling_mode_") for key, value in old.items() if value]
        modes = modes or ["mean"]
    modes = list(modes) if isinstance(modes, list | tuple) else [modes]
    means = {"cls": False, "cls_token": False, "mean": True, "mean_tokens": True}
    if len(modes) != 1 or not isinstance(modes[0], str) or modes[0] not in means:
        raise pooling.refuse(f"its mode is {modes}; 'cls' and 'mean' are followed")
    return means[modes[0]]


def stages_in_files(
    files: CheckpointFiles, modules: Sequence[Module], dtype: torch.dtype
) -> list[Stage]:
    """The modules after the encoder, read from their folders as `dtype`.

    Raises:
        ValueError: a file is missing or damaged, or its weights have another shape.
    """
    found = []
    for module in modules:
        file = f"{module.folder}/config.json"
        where = f"{files.name}/{file}"
        options = files.json(file)
        weights = activation = None
        if module.kind == "Dense":
            sizes = [options.get(key) for key in ("in_features", "out_features")]
            prefix, kind, extra = "linear", nn.Linear, (options.get("bias", True) is not False,)
            path = options.get("activation_function", "torch.nn.modules.activation.Tanh")
            activation = activation_named(where, path)
        else:
            sizes, prefix, kind, extra = [options.get("dimension")], "norm", nn.LayerNorm, ()
        if module.kind in ("Dense", "LayerNorm"):
            if not all(type(size) is int and size > 0 for size in sizes):
                raise ValueError(f"{where}: its sizes are {sizes}, expected whole numbers")
            held = module_weights(files, module.folder)
            with torch.device("meta"):
                weights = kind(*sizes, *extra)
            wanted = {f"{prefix}.{n}": tuple(t.shape) for n, t in weights.state_dict().items()}
            if (there := {n: tuple(t.shape) for n, t in held.items()}) != wanted:
                raise ValueError(
                    f"{where} asks for weights {wanted}, its folder holds {there}; take both from "
                    "the same checkpoint"
                )
            own = {n.removeprefix(f"{prefix}."): tensor.to(dtype) for n, tensor in held.items()}
            weights.load_state_dict(own, assign=True)
        found.append(Stage(where, module.kind, options, weights, activation))
    return found


def module_weights(files: CheckpointFiles, folder: str) -> dict[str, Tensor]:
    """The tensors in a module's folder, after its file was checked."""
    for file in (f"{folder}/model.safetensors", f"{folder}/pytorch_model.bin"):
        if (path := files.find(file)) is not None:
            tensors_in(path)
            with blamed(str(path)):
                if path.suffix == ".safetensors":
                    return load_file(path)
                return torch.load(path, map_location="cpu", weights_only=True)
    raise ValueError(f"{files.name}/{folder} holds no weights of its module: download it again")


def stages_of(name: str, modules: Sequence[Any]) -> list[Stage]:
    """The modules of a sentence-transformers model in memory, after its transformer."""
    found = []
    for number, module in enumerate(modules, start=1):
        where, kind = f"module {number} of {name}", type(module).__name__
        if not type(module).__module__.startswith("sentence_transformers."):
            raise ValueError(
                f"{where} is a {kind} of {type(module).__module__}, which CrossLens does not follow"
            )
        options = {} if kind == "Dropout" else module.get_config_dict()
        weights = getattr(module, "linear", None) or getattr(module, "norm", None)
        activation = getattr(module, "activation_function", None)
        found.append(Stage(where, kind, options, weights, activation))
    return found
