"""llama-nemotron-rerank: a Llama whose tokens read both ways, scored by the mean of all of them.

The names of its tensors are Llama's. Its code (LlamaBidirectionalForSequenceClassification, as also
published in NVIDIA-NeMo/Automodel) takes away the causal mask, means the last states over the
tokens that are no padding, maps that mean, and divides by a temperature.
"""

from collections.abc import Mapping
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import nn, Tensor
from transformers import LlamaConfig, LlamaModel, LlamaPreTrainedModel, PreTrainedConfig
from transformers.modeling_outputs import SequenceClassifierOutput

from .own_code import OwnCode


# Llama's settings and a temperature. Without a class statement, whose checked constructor would
# refuse the older names of settings that transformers translates.
LlamaBidirectionalConfig: Final[type[PreTrainedConfig]] = type(
    "LlamaBidirectionalConfig",
    (LlamaConfig,),
    {"model_type": "llama_bidirec", "logit_temperature": 1.0},
)


class LlamaBidirectional(LlamaPreTrainedModel):
    """Llama without a causal mask, mean pooling, and a linear map."""

    config_class = LlamaBidirectionalConfig  # pyright: ignore[reportAssignmentType]

    def __init__(self, config: Any):
        super().__init__(config)
        self.model = LlamaModel(config)
        self.score = nn.Linear(config.hidden_size, config.num_labels, bias=False)
        self.post_init()

    def forward(
        self, input_ids: Int[Tensor, "pair pos"], attention_mask: Int[Tensor, "pair pos"]
    ) -> SequenceClassifierOutput:
        """The logits of pairs, padded on either side."""
        states = self.model(
            input_ids, attention_mask=self.both_ways(attention_mask), use_cache=False
        ).last_hidden_state
        weight = attention_mask[:, :, None].to(states.dtype)
        logits = self.score((states * weight).sum(dim=1) / weight.sum(dim=1))
        return SequenceClassifierOutput(logits=logits / self.config.logit_temperature)

    def both_ways(self, attention_mask: Int[Tensor, "pair pos"]) -> Float[Tensor, "pair 1 dst src"]:
        """Every token reads all that are no padding; one mask for each reader, so that Llama
        takes it as it is."""
        dtype, n = self.model.embed_tokens.weight.dtype, attention_mask.shape[1]
        mask = torch.zeros(len(attention_mask), 1, n, n, dtype=dtype, device=attention_mask.device)
        return mask.masked_fill(attention_mask[:, None, None, :] == 0, torch.finfo(dtype).min)


class LlamaOwnCode(OwnCode):
    """Its temperature needs another name: transformers takes that one for one of generation."""

    def translate(self, where: str, raw: Mapping[str, Any]) -> dict[str, Any]:
        return {"logit_temperature": raw.get("temperature", 1.0)}


LLAMA_BIDIRECTIONAL: Final = LlamaOwnCode(
    declared=r"LlamaBidirectional\w*|llama_bidirec\w*",
    published="LlamaBidirectionalForSequenceClassification",
    config=LlamaBidirectionalConfig,
    model=LlamaBidirectional,
    names=((r"(model|score)\..+", (r"\g<0>",)),),
    needed=(
        *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
        *("num_key_value_heads", "intermediate_size", "max_position_embeddings", "rms_norm_eps"),
        "hidden_act",
    ),
    optional=(
        *("head_dim", "attention_bias", "mlp_bias", "rope_theta", "rope_scaling"),
        *("rope_parameters", "temperature"),
    ),
    renamed=("temperature",),
    fixed={
        "pooling": ("avg",),
        "pretraining_tp": (1,),
        "is_causal": (False,),
        "use_bidirectional_attention": (True,),
    },
)
