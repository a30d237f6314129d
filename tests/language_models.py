"""Tiny random language models with a byte-level tokenizer, as rerankers of today are built."""

import torch
from tiny import SMALL, WORDS
from tokenizers import AddedToken, decoders, pre_tokenizers, Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GemmaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)


MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<bos>", "<think>", "</think>")
ANSWERS = ("yes", "no", "Yes", "No", "1", "0")
CONFIGS = {"qwen2": Qwen2Config, "qwen3": Qwen3Config, "gemma": GemmaConfig, "gemma2": Gemma2Config}

# Words with the space before them, digits one by one, and signs with the newlines behind them.
LIKE_QWEN = r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# Query and document in roles of their own, and an opening of the answer, as published templates.
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n<think>\n\n</think>\n\n"
)
CHAT_OF_PARTS = CHAT.replace("m.content", "m.content[0].text | trim")


def tokenizer(chat_template: str | None = None, pad: bool = True) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer that knows the answers as tokens of one piece."""
    made = Tokenizer(BPE())
    split = pre_tokenizers.Split(Regex(LIKE_QWEN), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    made.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=420,
        special_tokens=[AddedToken(mark, normalized=False) for mark in MARKS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [*[" ".join(WORDS)] * 3, *[f"{word} {word}" for word in ANSWERS] * 9, ".\n.\n.\n" * 9]
    made.train_from_iterator([*texts, *ANSWERS * 9], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<bos>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>" if pad else None,
        model_max_length=400,
        chat_template=chat_template,
        model_input_names=["input_ids", "attention_mask"],
    )


def language_model(family: str, seed: int = 0, **changes) -> PreTrainedModel:
    """A random `...ForCausalLM` whose scores spread."""
    torch.manual_seed(seed)
    size = {**SMALL, "num_labels": 2, "max_position_embeddings": 512, "num_hidden_layers": 2}
    size |= {"vocab_size": 440, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 3}
    size |= {"eos_token_id": 2} | ({} if family == "qwen2" else {"head_dim": 8})
    model = AutoModelForCausalLM.from_config(CONFIGS[family](**(size | changes))).eval()
    with torch.no_grad():
        for value in model.parameters():
            value += 0.2 * torch.randn_like(value) if value.dim() == 1 else 7 * value
    return model.requires_grad_(False)
