"""Heads of a decoder patched: from the first edited token on, against whole pairs."""

from dataclasses import replace
from unittest import mock

import torch
from transformers import Qwen3Config, Qwen3ForSequenceClassification

from crosslens import CrossEncoder, load, patch, sweep

from .subject import N_VOCABULARY, random_pairs, Shape, tokenizer
from .sweeps import some_of
from .timing import interleaved, Table


def causal(shape: Shape, *, tokens: int, pairs: int, rounds: int, share: float) -> Table:
    """Every layer x head of a random Qwen3; the sides differ in a token amid the document."""
    torch.manual_seed(0)
    original = Qwen3ForSequenceClassification(
        Qwen3Config(
            vocab_size=N_VOCABULARY,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads // 2,
            head_dim=shape.d_model // shape.heads,
            hidden_size=shape.d_model,
            intermediate_size=shape.d_mlp * 3 // 4,  # as many weights as an MLP without a gate
            num_labels=1,
            pad_token_id=0,
        )
    ).eval()
    model = load(original, tokenizer())
    base = replace(random_pairs(tokens, pairs), scored=torch.full((pairs,), tokens - 1))
    document = base.where("document")[0].nonzero()[:, 0]
    token = base.token.clone()
    token[:, document[len(document) // 2]] += 1
    with model.record("z") as source:
        model(replace(base, token=token))
    hooks = [patch(head, source) for head in model.heads()]

    def swept() -> float:
        sweep(model, base, hooks)
        return len(hooks) * pairs

    def whole() -> float:
        with mock.patch.object(CrossEncoder, "is_causal", False):
            return swept()

    def one_by_one() -> float:
        chosen = some_of(len(hooks), share)
        with torch.no_grad():
            for i in chosen:
                with model.hooked(hooks[i]):
                    model(base)
        return len(chosen) * pairs

    arms = {
        "from the first edited token": swept,
        "whole pairs": whole,
        "one hooked pass per cell": one_by_one,
    }
    title = f"decoder: {shape.layers} x {shape.d_model}, {pairs} pairs of {tokens} tokens"
    return Table(
        title,
        "cell and pair",
        interleaved(arms, rounds=rounds),
        {"share of tokens from the edit on": 1 - int(document[len(document) // 2]) / tokens},
    )
