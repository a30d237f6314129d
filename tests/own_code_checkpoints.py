"""Tiny checkpoints under the names of code of their own, written from those of transformers."""

import json
import re
from pathlib import Path

import torch
from safetensors.torch import save_file
from tiny import tiny
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase


FIXED = {
    "jina": {
        "architectures": ["XLMRobertaForSequenceClassification"],
        "auto_map": {
            "AutoConfig": "configuration_xlm_roberta.XLMRobertaFlashConfig",
            "AutoModel": "modeling_xlm_roberta.XLMRobertaModel",
            "AutoModelForSequenceClassification": (
                "modeling_xlm_roberta.XLMRobertaForSequenceClassification"
            ),
        },
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "use_flash_attn": True,
        "emb_pooler": None,
        "torch_dtype": "bfloat16",
    },
    "gte": {
        "architectures": ["NewForSequenceClassification"],
        "model_type": "new",
        "auto_map": {
            "AutoConfig": "Alibaba-NLP/new-impl--configuration.NewConfig",
            "AutoModelForSequenceClassification": (
                "Alibaba-NLP/new-impl--modeling.NewForSequenceClassification"
            ),
        },
        "hidden_act": "gelu",
        "position_embedding_type": "rope",
        "layer_norm_type": "layer_norm",
        "logn_attention_scale": False,
        "logn_attention_clip1": False,
        "pack_qkv": True,
        "unpad_inputs": False,
        "use_memory_efficient_attention": False,
        "rope_theta": 160000.0,
        "rope_scaling": None,
    },
    "llama": {
        "architectures": ["LlamaBidirectionalForSequenceClassification"],
        "model_type": "llama_bidirec",
        "auto_map": {
            "AutoConfig": "llama_bidirectional_model.LlamaBidirectionalConfig",
            "AutoModelForSequenceClassification": (
                "llama_bidirectional_model.LlamaBidirectionalForSequenceClassification"
            ),
        },
        "hidden_act": "silu",
        "pooling": "avg",
        "temperature": 1.0,
        "rope_theta": 10000.0,
        "mlp_bias": True,
    },
}
SIZES = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("intermediate_size", "max_position_embeddings", "pad_token_id"),
)
MORE = {
    "jina": ("type_vocab_size", "layer_norm_eps"),
    "gte": ("type_vocab_size", "layer_norm_eps"),
    "llama": ("num_key_value_heads", "rms_norm_eps", "head_dim"),
}
# The names of transformers and the published ones, in the order in which they are replaced.
BACK = {
    "jina": (
        ("encoder.layer.", "encoder.layers."),
        ("embeddings.LayerNorm", "emb_ln"),
        ("attention.output.dense", "mixer.out_proj"),
        ("attention.output.LayerNorm", "norm1"),
        ("output.LayerNorm", "norm2"),
        ("intermediate.dense", "mlp.fc1"),
        ("output.dense", "mlp.fc2"),
    ),
    "gte": (
        ("gte.layers.", "new.encoder.layer."),
        ("gte.", "new."),
        ("self_attn.", "attention."),
        ("post_attention_layernorm", "attn_ln"),
        ("post_mlp_layernorm", "mlp_ln"),
    ),
    "llama": (),
}
# Maps whose rows stand in one tensor, one after the other.
FUSED = {
    "jina": {"mixer.Wqkv": [f"attention.self.{kind}" for kind in ("query", "key", "value")]},
    "gte": {
        "attention.qkv_proj": [f"attention.{kind}_proj" for kind in "qkv"],
        "mlp.up_gate_proj": ["mlp.up_proj", "mlp.gate_proj"],
    },
    "llama": {},
}
OF = {"jina": "xlm-roberta", "gte": "gte", "llama": "llama"}


def original(kind: str, **changes) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A random model of transformers' class; of Llama's, whose mask and pooling are to differ."""
    return tiny(OF[kind], **changes)


def published(kind: str, model: PreTrainedModel) -> dict[str, Tensor]:
    """The tensors of `model` under their published names."""
    found = {}
    for name, tensor in model.state_dict().items():
        for here, there in BACK[kind]:
            name = re.sub(f"^{re.escape(here)}" if "gte" in here else re.escape(here), there, name)
        found[name] = tensor
    for fused, parts in FUSED[kind].items():
        for name in [n for n in found if parts[0] in n]:
            rows = [found.pop(name.replace(parts[0], part)) for part in parts]
            found[name.replace(parts[0], fused)] = torch.cat(rows)
    return {name: tensor.clone().contiguous() for name, tensor in found.items()}


def write(folder: Path, kind: str, model, tokenizer, **changes) -> Path:
    """A folder as its authors published theirs."""
    settings = {key: getattr(model.config, key) for key in (*SIZES, *MORE[kind])}
    settings |= {"id2label": {i: f"LABEL_{i}" for i in range(model.config.num_labels)}}
    folder.mkdir(exist_ok=True)
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({**settings, **FIXED[kind], **changes}))
    save_file(published(kind, model), folder / "model.safetensors", metadata={"format": "pt"})
    return folder
