"""jina-reranker-v2: XLM-RoBERTa with fused maps and other names.

Its code (jinaai/jina-reranker-v2-base-multilingual, modeling_xlm_roberta.py) is the BERT of
flash-attention with XLM-RoBERTa's positions and head: one map Wqkv makes queries, keys and values,
in this order; `emb_ln`, `norm1` and `norm2` are the LayerNorms behind the embeddings, attention and
the MLP. How attention is computed (use_flash_attn, fused_...) changes no score.
"""

from collections.abc import Mapping
from typing import Any, Final

from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

from .own_code import OwnCode


LAYER: Final = r"roberta\.encoder\.layers\.(\d+)\."
# Its GELU is exact, or the tanh approximation under each of these names.
TANH: Final = ("gelu_new", "gelu_fast", "gelu_pytorch_tanh")


class Jina(OwnCode):
    """Its activation has two names in transformers."""

    def translate(self, where: str, raw: Mapping[str, Any]) -> dict[str, Any]:
        return {"hidden_act": "gelu_pytorch_tanh" if raw["hidden_act"] in TANH else "gelu"}


def layer(name: str) -> str:
    """A module of a layer of XLM-RoBERTa; the groups are the number and what follows the module."""
    return rf"roberta.encoder.layer.\1.{name}.\2"


JINA: Final = Jina(
    declared=r"XLMRobertaFlash\w*|xlm-roberta-flash|modeling_xlm_roberta\.\w+|"
    r"configuration_xlm_roberta\.\w+",
    published="XLMRobertaForSequenceClassification",
    config=XLMRobertaConfig,
    model=XLMRobertaForSequenceClassification,
    names=(
        (r"roberta\.embeddings\.\w+_embeddings\.weight", (r"\g<0>",)),
        (r"roberta\.emb_ln\.(\w+)", (r"roberta.embeddings.LayerNorm.\1",)),
        (
            rf"{LAYER}mixer\.Wqkv\.(\w+)",
            tuple(layer(f"attention.self.{kind}") for kind in ("query", "key", "value")),
        ),
        (rf"{LAYER}mixer\.out_proj\.(\w+)", (layer("attention.output.dense"),)),
        (rf"{LAYER}norm1\.(\w+)", (layer("attention.output.LayerNorm"),)),
        (rf"{LAYER}mlp\.fc1\.(\w+)", (layer("intermediate.dense"),)),
        (rf"{LAYER}mlp\.fc2\.(\w+)", (layer("output.dense"),)),
        (rf"{LAYER}norm2\.(\w+)", (layer("output.LayerNorm"),)),
        (r"classifier\.(dense|out_proj)\.\w+", (r"\g<0>",)),
    ),
    needed=(
        *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
        *("intermediate_size", "max_position_embeddings", "type_vocab_size", "layer_norm_eps"),
        *("pad_token_id", "position_embedding_type", "hidden_act"),
    ),
    fixed={
        "position_embedding_type": ("absolute",),
        "hidden_act": ("gelu", *TANH),
        "lora_adaptations": (None,),
        "last_layer_subset": (False, None),
        "pad_vocab_size_multiple": (1, None),
    },
    ignored=frozenset(
        (
            *("use_flash_attn", "fused_mlp", "fused_bias_fc", "fused_dropout_add_ln"),
            *("mlp_checkpoint_lvl", "use_reentrant", "rotary_emb_base", "load_trained_adapters"),
            *("lora_rank", "lora_dropout_p", "lora_alpha", "lora_main_params_trainable"),
            *("emb_pooler", "matryoshka_dimensions", "truncate_dim", "task_instructions"),
        )
    ),
)
