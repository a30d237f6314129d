"""Cross-encoders of lightning-ir: a bare encoder, its first token, and one linear map.

Such a checkpoint (webis/monoelectra-base) holds the tensors of an encoder of transformers under
their own names, and `linear.weight`; its config.json holds the encoder's settings, and how
lightning-ir makes a score of it (MonoModel and CrossEncoderTokenizer, lightning_ir 0.0.6; earlier
versions have the same as CrossEncoderModel). There is no classifier of transformers in it: no dense
layer of ELECTRA or RoBERTa, no pooler of BERT.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn, Tensor
from transformers import (
    AutoConfig,
    MODEL_MAPPING,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from .checkpoint_files import blamed, CheckpointFiles
from .modular import Tail
from .own_code.own_code import ANYWHERE, held, KEPT
from .text_lengths import TextLengths
from .weights import Stored


KINDS: Final = {"mono": "Mono", "cross-encoder": "CrossEncoder"}  # how their classes begin
# Encoders whose tokenizer in transformers 4, on which these checkpoints were made, is known to
# give the token types that its model reads, or none.
WITH_TYPES: Final = ("bert", "electra", "deberta-v2")
BACKBONES: Final = (*WITH_TYPES, "roberta", "xlm-roberta", "distilbert", "modernbert")
N_LOGITS: Final = {"rank": 1, "mono": 2}
# Settings of lightning-ir with the values that are followed; the first where it is silent.
FOLLOWED: Final[Mapping[str, tuple[Any, ...]]] = {
    "pooling_strategy": ("first",),
    "scoring_strategy": tuple(N_LOGITS),
    "linear_bias": (False, True),
    "_bert_pool": (False,),  # a dense layer and tanh before the linear map
    "tokenizer_pattern": (None,),
    "use_adapter": (False,),
    "adapter_config": (None,),
    "pretrained_adapter_name_or_path": (None,),
    "position_embedding_type": ("absolute",),  # of the encoder, in transformers 4
}
# Settings of encoders that transformers 5 reads, and its configuration does not list.
OF_ENCODERS: Final = {
    *("norm_rel_ebd", "position_buckets", "share_att_key", "conv_kernel_size", "conv_act"),
    *("global_attn_every_n_layers", "global_rope_theta", "local_rope_theta"),
    *("reference_compile", "repad_logits_with_grad"),
}
LENGTHS: Final = ("query_length", "doc_length")
UNREAD: Final = "embeddings.position_ids"  # 0, 1, 2, … as older versions of transformers saved it


@dataclass(frozen=True)
class Mono:
    """A cross-encoder of lightning-ir, as its config.json declares it."""

    encoder: Mapping[str, Any]  # the config.json of its encoder alone
    model: type[PreTrainedModel]
    d_model: int
    lengths: TextLengths
    n_logits: int
    has_bias: bool

    @property
    def activation(self) -> nn.Module:
        """What it makes of the score: nothing, or of two logits the log-softmax of the second."""
        return nn.Identity() if self.n_logits == 1 else nn.LogSigmoid()

    def settings(self, where: str, raw: Mapping[str, Any]) -> dict[str, Any]:
        """The config.json of the encoder."""
        return dict(self.encoder)

    def config(self, **settings: Any) -> PreTrainedConfig:
        """The encoder's configuration."""
        return AutoConfig.for_model(**settings)

    def stored(self, where: str, stored: Mapping[str, Stored]) -> dict[str, Stored]:
        """What the headers of the files say of the encoder.

        Raises:
            ValueError: the linear map is not there, or has another shape than config.json says.
        """
        wanted: dict[str, tuple[int, ...]] = {"linear.weight": (self.n_logits, self.d_model)}
        if self.has_bias:
            wanted["linear.bias"] = (self.n_logits,)
        found = {
            name: tensor.shape for name, tensor in stored.items() if name.startswith("linear.")
        }
        if found != wanted:
            raise ValueError(
                f"{where} declares a linear map of {wanted}, its files hold {found or 'none'}; "
                "take config.json and weights from the same checkpoint"
            )
        return {name: each for name, each in stored.items() if name not in {*found, UNREAD}}

    def tensors(self, files: CheckpointFiles, dtype: torch.dtype) -> dict[str, Tensor]:
        """The tensors of the encoder, as `dtype`."""
        return {
            name: tensor.to(dtype).contiguous()
            for name, tensor in held(files)
            if not name.startswith("linear.") and name != UNREAD
        }

    def tail(self, files: CheckpointFiles, dtype: torch.dtype) -> Tail:
        """The first token, and the linear map."""
        own = {
            name.removeprefix("linear."): tensor.to(dtype).contiguous()
            for name, tensor in held(files)
            if name.startswith("linear.")
        }
        with torch.device("meta"):
            out = nn.Linear(self.d_model, self.n_logits, bias=self.has_bias)
        out.load_state_dict(own, assign=True)
        return Tail(False, nn.Sequential(), out.requires_grad_(False))

    def give_types(self, files: CheckpointFiles, tokenizer: PreTrainedTokenizerBase) -> None:
        """Let the tokenizer give token types where that of the encoder does.

        Its own class is lightning-ir's, so that transformers does not know which it gives.
        """
        if "model_input_names" not in files.json("tokenizer_config.json"):
            types = ["token_type_ids"] * (self.encoder["model_type"] in WITH_TYPES)
            tokenizer.model_input_names = ["input_ids", *types, "attention_mask"]


def lightning_ir(where: str, raw: Mapping[str, Any]) -> Mono | None:
    """The cross-encoder of lightning-ir that a config.json declares, if it is one.

    Raises:
        ValueError: its encoder or a setting is not followed, or one is missing; `where` names
            the file.
    """
    kind = raw.get("model_type")
    if kind not in KINDS:
        return None
    family = raw.get("backbone_model_type")
    if family not in BACKBONES:
        raise ValueError(
            f"{where} declares a cross-encoder of lightning-ir on the backbone_model_type "
            f"{family!r}; CrossLens follows those on {', '.join(BACKBONES)}"
        )
    for key, allowed in FOLLOWED.items():
        if raw.get(key, allowed[0]) not in allowed:
            raise ValueError(
                f"{where} declares {key} {raw[key]!r}; of lightning-ir CrossLens follows "
                f"{' and '.join(map(repr, allowed))} alone"
            )
    lengths = [length(where, raw, key) for key in LENGTHS]
    with_own = {*FOLLOWED, *LENGTHS, "backbone_model_type"}
    known = AutoConfig.for_model(family).to_dict().keys() | with_own | OF_ENCODERS
    known = known | ANYWHERE | {*KEPT}
    if unknown := sorted(raw.keys() - known):
        raise ValueError(
            f"{where} declares {', '.join(f'{key} {raw[key]!r}' for key in unknown)}, which "
            "CrossLens does not follow in a cross-encoder of lightning-ir; remove it there if no "
            "score rests on it"
        )
    encoder = {key: value for key, value in raw.items() if key not in with_own}
    encoder["model_type"] = family
    model: Any = MODEL_MAPPING[type(AutoConfig.for_model(family))]
    expected = f"{KINDS[kind]}{model.__name__}"
    if (declared := raw.get("architectures")) != [expected]:
        raise ValueError(
            f"{where}: architectures is {declared!r}; lightning-ir calls a {kind} on {family} "
            f"{[expected]!r}"
        )
    encoder["architectures"] = [model.__name__]
    with blamed(f"{where} makes no {family} model"):
        d_model = AutoConfig.for_model(**encoder).hidden_size
    n_logits = N_LOGITS[raw.get("scoring_strategy", "rank")]
    has_bias = bool(raw.get("linear_bias", False))
    return Mono(encoder, model, d_model, TextLengths(*lengths), n_logits, has_bias)


def length(where: str, raw: Mapping[str, Any], key: str) -> int | None:
    """How many tokens of a text are read at most.

    Raises:
        ValueError: config.json does not say, or says something else than a number or null.
    """
    if key not in raw:
        raise ValueError(
            f"{where} does not say {key}, on which the score rests; take config.json from the "
            "published checkpoint"
        )
    if (value := raw[key]) is not None and (type(value) is not int or not 1 <= value < 2**31):
        raise ValueError(f"{where}: {key} is {value!r}, expected a number of tokens or null")
    return value


def is_lightning_ir(kind: str) -> bool:
    """Whether a class in memory is a cross-encoder of lightning-ir, by its name."""
    return re.fullmatch(rf"({'|'.join(KINDS.values())})[A-Z]\w*Model", kind) is not None
