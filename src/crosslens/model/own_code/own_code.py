"""Checkpoints published with code of their own, read as a class of transformers.

CrossLens never runs a checkpoint's code. Where it computes what a class of transformers does, under
other names, a file beside this one says which name is which, and which settings of config.json are
followed. Everything else is refused by name: a setting, a tensor without a place, a place without
a tensor.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from ..checkpoint_files import blamed, CheckpointFiles
from ..weights import Stored, weight_files


# Settings of any config.json: labels, special tokens, and what sentence-transformers wrote there.
KEPT: Final = (
    *("num_labels", "id2label", "label2id", "pad_token_id", "bos_token_id", "eos_token_id"),
    *("sentence_transformers", "sbert_ce_default_activation_function"),
)
# Without effect on a score: names, precision, training, kernels.
ANYWHERE: Final = {
    *("_name_or_path", "architectures", "auto_map", "model_type", "transformers_version"),
    *("torch_dtype", "dtype", "use_cache", "initializer_range", "problem_type", "output_past"),
    *("classifier_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob"),
    *("attention_dropout", "gradient_checkpointing", "attn_implementation", "return_dict"),
    *("_attn_implementation", "_attn_implementation_autoset", "output_attentions"),
    *("output_hidden_states", "is_decoder", "add_cross_attention", "tie_word_embeddings"),
}


@dataclass(frozen=True)
class OwnCode:
    """A family by its published names, and the class of transformers that computes the same.

    `needed` and `optional` settings have the same name and meaning in both. A `fixed` setting may
    have the values listed alone, the first of which it has where config.json is silent. `renamed`
    are those of them that `translate` turns into others.
    """

    declared: str  # a pattern for an architecture or a class of auto_map, or the model_type
    published: str  # a pattern for the architecture of its reranker
    config: type[PreTrainedConfig]
    model: type[PreTrainedModel]
    names: tuple[tuple[str, tuple[str, ...]], ...]  # of tensors; several share the rows of one
    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()
    fixed: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    renamed: tuple[str, ...] = ()
    ignored: frozenset[str] = frozenset()

    def settings(self, where: str, raw: Mapping[str, Any]) -> dict[str, Any]:
        """The config.json of the class of transformers.

        Raises:
            ValueError: `raw` is of another architecture, lacks a setting or has one that is not
                followed; `where` names the file.
        """
        architectures = raw.get("architectures")
        first = architectures[0] if isinstance(architectures, list) and architectures else None
        if not re.fullmatch(self.published, str(first)):
            raise ValueError(
                f"{where}: {first} is no reranker; of this family CrossLens follows "
                f"{self.published.replace('(Gte)?', '')} alone"
            )
        for key, allowed in self.fixed.items():
            if raw.get(key, allowed[0]) not in allowed:
                raise ValueError(
                    f"{where} declares {key} {raw[key]!r}; of this family CrossLens follows "
                    f"{' and '.join(map(repr, allowed))} alone"
                )
        if missing := [key for key in self.needed if key not in raw]:
            raise ValueError(
                f"{where} does not say {', '.join(missing)}, on which the score rests, and its "
                "own code is not run to find out; take config.json from the published checkpoint"
            )
        known = {*self.needed, *self.optional, *self.fixed, *self.ignored}
        if unknown := sorted(raw.keys() - known - ANYWHERE - {*KEPT}):
            raise ValueError(
                f"{where} declares {', '.join(f'{key} {raw[key]!r}' for key in unknown)}, which "
                "CrossLens does not follow in this family; remove it there if no score rests on it"
            )
        same = {
            key: raw[key]
            for key in (*KEPT, *self.needed, *self.optional)
            if key in raw and key not in self.renamed
        }
        of_class = {
            "model_type": self.config.model_type,
            "architectures": [first],
        }
        return {**same, **of_class, **self.translate(where, raw)}

    def translate(self, where: str, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Settings that have another name or form in the class of transformers."""
        return {}

    def places(self, where: str, name: str) -> tuple[str, ...]:
        """Where a tensor belongs; several places share its rows.

        Raises:
            ValueError: nowhere.
        """
        for pattern, places in self.names:
            if found := re.fullmatch(pattern, name):
                return tuple(found.expand(place) for place in places)
        raise ValueError(
            f"{where} holds the tensor {name}, for which CrossLens has no place; its score may "
            "rest on it"
        )

    def stored(self, where: str, stored: Mapping[str, Stored]) -> dict[str, Stored]:
        """What the headers of the files say, under the names of the class of transformers.

        Raises:
            ValueError: a tensor has no place, shares one, or its rows cannot be divided.
        """
        found: dict[str, Stored] = {}
        for name, (shape, dtype) in stored.items():
            places = self.places(where, name)
            n = len(places)
            if n > 1 and (not shape or shape[0] % n):
                raise ValueError(
                    f"{where} holds {name} of shape {shape}, whose rows {n} maps cannot share alike"
                )
            for place in places:
                if place in found:
                    raise ValueError(f"{where} holds {place} twice, once as {name}; which is it?")
                found[place] = Stored((shape[0] // n, *shape[1:]) if n > 1 else shape, dtype)
        return found

    def tensors(self, files: CheckpointFiles, dtype: torch.dtype) -> dict[str, Tensor]:
        """Every tensor of the files in its place, as `dtype`."""
        return {
            place: rows.to(dtype).contiguous()
            for name, tensor in held(files)
            for place, rows in self.divided(files.name, name, tensor)
        }

    def divided(self, where: str, name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
        """The places of a tensor, each with its rows."""
        places = self.places(where, name)
        return list(zip(places, tensor.chunk(len(places)), strict=True))


def held(files: CheckpointFiles) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a checkpoint, by its published name, file by file."""
    for path in weight_files(files):
        with blamed(f"{path} cannot be read"):
            if path.suffix == ".safetensors":
                tensors = load_file(path)
            else:
                tensors = torch.load(path, map_location="cpu", weights_only=True)
        yield from tensors.items()
