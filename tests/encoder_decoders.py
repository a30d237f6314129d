"""Tiny random T5 and mT5 with the tokenizer of their family."""

from collections.abc import Iterable

import torch
from tiny import LETTERS, WORDS
from transformers import (
    MT5Config,
    MT5ForConditionalGeneration,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)


ANSWERS = ("true", "false", "yes", "no", "sim", "não")
MONO = "Query: {query} Document: {document} Relevant:"
# T5 of the first version, of version 1.1, and mT5: what sets them apart in config.json.
KINDS = {
    "t5": (T5Config, T5ForConditionalGeneration, {}),
    "t5-1.1": (
        T5Config,
        T5ForConditionalGeneration,
        {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "mt5": (MT5Config, MT5ForConditionalGeneration, {"num_decoder_layers": 3}),
}
N_VOCAB = 112


def tokenizer(words: Iterable[str] = ()) -> PreTrainedTokenizerFast:
    """A unigram tokenizer that ends every text with </s>, as T5's does; it knows `words` too."""
    letters = LETTERS + "QDR:?0123456789ã"
    pieces = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        ("▁", -2.0),
        *((f"▁{word}", -3.0) for word in dict.fromkeys([*WORDS, *ANSWERS, "Query", *words])),
        *((letter, -6.0) for letter in letters),
    ]
    return T5Tokenizer(vocab=pieces, extra_ids=20, model_max_length=96)


def encoder_decoder(kind: str = "t5", seed: int = 0, **changes) -> PreTrainedModel:
    """A random encoder-decoder whose scores spread, with an output map of its own if not tied."""
    of_kind, model_class, traits = KINDS[kind]
    size = {"vocab_size": N_VOCAB, "d_model": 24, "d_kv": 8, "d_ff": 20, "num_layers": 2}
    size |= {"num_heads": 4, "relative_attention_num_buckets": 8}
    size |= {"relative_attention_max_distance": 20, "decoder_start_token_id": 0}
    torch.manual_seed(seed)
    model = model_class(of_kind(**(size | traits | changes))).eval()
    if kind != "t5":
        drawn = 0.05 * torch.randn(model.config.vocab_size, 24)
        model.lm_head.weight = torch.nn.Parameter(drawn)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.dim() == 1:
                value += 0.2 * torch.randn_like(value)
            elif "attention_bias" in name:
                value.copy_(torch.randn_like(value))
    return model
