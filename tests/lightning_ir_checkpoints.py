"""Tiny checkpoints as lightning-ir saves them, and its score by hand.

What its files look like was read from lightning_ir 0.0.6 and from what it saves.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tiny import tiny, WORDS
from tokenizers import AddedToken, decoders, pre_tokenizers, processors, Tokenizer, trainers
from tokenizers.models import BPE
from torch import nn, Tensor
from transformers import MODEL_MAPPING, PreTrainedModel, PreTrainedTokenizerFast


FAMILIES = (
    *("bert", "electra", "roberta", "xlm-roberta", "distilbert"),
    *("modernbert", "deberta-v2"),
)
LENGTHS = {"query_length": 6, "doc_length": 30}
SETTINGS = {
    "_bert_pool": False,
    "adapter_config": None,
    "linear_bias": False,
    "model_type": "mono",
    "pooling_strategy": "first",
    "position_embedding_type": "absolute",
    "pretrained_adapter_name_or_path": None,
    "scoring_strategy": "rank",
    "tokenizer_pattern": None,
    "use_adapter": False,
    **LENGTHS,
}
TYPED = ("bert", "electra", "deberta-v2")  # whose tokenizers give token types


def byte_pairs() -> PreTrainedTokenizerFast:
    """A tokenizer of RoBERTa's kind, in whose tokens stand the spaces before words."""
    made = Tokenizer(BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.BpeTrainer(
        vocab_size=95,
        special_tokens=[AddedToken(token, special=True) for token in special],
        initial_alphabet=list("abcdefghijklmnopqrstuvwxyzĠ.,Ã©"),
        show_progress=False,
    )
    made.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    names = dict(zip(("cls_token", "pad_token", "sep_token", "unk_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=90, **names)


def encoder(family: str, seed: int = 0) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A random encoder without a head, and a tokenizer that decodes what it encoded."""
    classifier, tokenizer = tiny(family, seed)
    if family in ("roberta", "modernbert"):
        tokenizer = byte_pairs()
    else:
        tokenizer.backend_tokenizer.decoder = decoders.WordPiece()
    return getattr(classifier, classifier.base_model_prefix), tokenizer


def linear(d_model: int, n_logits: int = 1, bias: bool = False) -> nn.Linear:
    """A linear map whose scores are apart."""
    torch.manual_seed(1)
    made = nn.Linear(d_model, n_logits, bias=bias).requires_grad_(False)
    nn.init.normal_(made.weight)
    return made


def write(folder: Path, model: PreTrainedModel, tokenizer: Any, out: nn.Linear, **changes) -> Path:
    """The folder that lightning-ir saves; settings that are "absent" are left out."""
    family = model.config.model_type
    settings = model.config.to_dict() | SETTINGS | {"backbone_model_type": family}
    kind = {"mono": "Mono", "cross-encoder": "CrossEncoder"}
    settings |= {"linear_bias": out.bias is not None} | changes
    name = f"{kind.get(settings['model_type'], '')}{MODEL_MAPPING[type(model.config)].__name__}"
    settings["architectures"] = changes.get("architectures", [name])
    settings = {key: value for key, value in settings.items() if value != "absent"}
    folder.mkdir(exist_ok=True, parents=True)
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    saved = json.loads(path.read_text())
    saved |= {"tokenizer_class": "CrossEncoderTokenizer", **LENGTHS}
    if family in TYPED:  # what its class in transformers 4 has without a word in the file
        saved.pop("model_input_names", None)
    path.write_text(json.dumps(saved))
    (folder / "config.json").write_text(json.dumps(settings))
    tensors = {**model.state_dict(), **{f"linear.{n}": t for n, t in out.state_dict().items()}}
    tensors = {name: t.clone().contiguous() for name, t in tensors.items() if "pooler" not in name}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def cut(tokenizer: Any, text: str, most: int | None) -> str:
    """The first tokens of a text, as text again."""
    if most is None:
        return text
    return tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)[:most])


@torch.no_grad()
def by_hand(
    model: Any, tokenizer: Any, out: nn.Linear, query: str, document: str, **lengths: int | None
) -> tuple[list[int], Tensor]:
    """The ids of a pair and its logits, one pair by itself."""
    most = LENGTHS | lengths
    texts = (
        cut(tokenizer, query, most["query_length"]),
        cut(tokenizer, document, most["doc_length"]),
    )
    inputs = tokenizer(*texts, truncation=True, return_tensors="pt")
    if model.config.model_type not in TYPED:
        inputs.pop("token_type_ids", None)
    states = model.eval()(**inputs).last_hidden_state
    return inputs["input_ids"][0].tolist(), out(states[0, 0])
