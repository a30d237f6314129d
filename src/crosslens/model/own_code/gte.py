"""gte-multilingual-reranker: transformers' GTE under the names of Alibaba-NLP/new-impl.

One map qkv_proj makes queries, keys and values; the first half of the rows of up_gate_proj is the
linear part of the MLP, the second the gate. Rotary positions may be scaled for long texts ("ntk",
with the same factor at every length): a base that is `factor` times as large, and all frequencies
divided by factor^(2 / d_head) (Su, https://kexue.fm/archives/9706, equation 6). The latter is what
transformers calls linear scaling.
"""

from collections.abc import Mapping
from typing import Any, Final

from transformers import GteConfig, GteForSequenceClassification

from .own_code import OwnCode


LAYER: Final = r"new\.encoder\.layer\.(\d+)\."


class Gte(OwnCode):
    """Its rotation has another form in transformers."""

    def translate(self, where: str, raw: Mapping[str, Any]) -> dict[str, Any]:
        return {"rope_parameters": rotation(where, raw)}


def rotation(where: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The rotary positions in transformers' words.

    Raises:
        ValueError: they are scaled in a way that transformers has no words for.
    """
    theta, scaling = raw["rope_theta"], raw["rope_scaling"]
    if scaling is None:
        return {"rope_type": "default", "rope_theta": theta}
    factor = scaling.get("factor") if isinstance(scaling, Mapping) else None
    is_followed = (
        isinstance(scaling, Mapping)
        and scaling.keys() <= {"type", "factor", "mixed_b"}
        and scaling.get("type") == "ntk"
        and scaling.get("mixed_b") is None
        and isinstance(factor, int | float)
        and factor >= 1
    )
    if not is_followed:
        raise ValueError(
            f"{where} declares rope_scaling {scaling!r}; CrossLens follows the type 'ntk' with a "
            "factor of 1 or more, and without mixed_b"
        )
    d_head = raw["hidden_size"] // raw["num_attention_heads"]
    return {
        "rope_type": "linear",
        "rope_theta": theta * factor,
        "factor": factor ** (2 / d_head),
    }


def layer(name: str) -> str:
    """A module of a layer of transformers' GTE; the groups are the number and what follows."""
    return rf"gte.layers.\1.{name}.\2"


GTE: Final = Gte(
    declared=r"(Gte)?New(Model|Config|For\w+)|new|(modeling|configuration)\.New\w+",
    published="(Gte)?NewForSequenceClassification",
    config=GteConfig,
    model=GteForSequenceClassification,
    names=(
        (
            r"new\.embeddings\.((word|token_type)_embeddings|LayerNorm)\.(\w+)",
            (r"gte.embeddings.\1.\3",),
        ),
        (
            rf"{LAYER}attention\.qkv_proj\.(\w+)",
            tuple(layer(f"self_attn.{kind}_proj") for kind in "qkv"),
        ),
        (rf"{LAYER}attention\.([qkvo]_proj\.\w+)", (r"gte.layers.\1.self_attn.\2",)),
        (
            rf"{LAYER}mlp\.up_gate_proj\.(\w+)",
            (layer("mlp.up_proj"), layer("mlp.gate_proj")),
        ),
        (rf"{LAYER}mlp\.down_proj\.(\w+)", (layer("mlp.down_proj"),)),
        (rf"{LAYER}attn_ln\.(\w+)", (layer("post_attention_layernorm"),)),
        (rf"{LAYER}mlp_ln\.(\w+)", (layer("post_mlp_layernorm"),)),
        (r"new\.pooler\.dense\.(\w+)", (r"gte.pooler.dense.\1",)),
        (r"classifier\.\w+", (r"\g<0>",)),
    ),
    needed=(
        *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
        *("intermediate_size", "max_position_embeddings", "type_vocab_size", "layer_norm_eps"),
        *("hidden_act", "pad_token_id", "rope_theta", "rope_scaling"),
    ),
    fixed={
        "position_embedding_type": ("rope",),
        "layer_norm_type": ("layer_norm",),
        "logn_attention_scale": (False,),
    },
    renamed=("rope_theta", "rope_scaling"),
    ignored=frozenset(
        ("logn_attention_clip1", "pack_qkv", "unpad_inputs", "use_memory_efficient_attention")
    ),
)
