"""A Llama that reads both ways and scores the mean of its tokens: llama-nemotron-rerank."""

from typing import Any

import torch
from torch import nn

from ..embedding import Embedding
from ..head import Head
from .decoder import block, check_rotation
from .nomic_bert import BOTH_WAYS, RotaryMasked
from .parts import Parts


def parts(model: Any) -> Parts:
    """The modules of a `LlamaBidirectional`.

    Raises:
        ValueError: its config.json declares a temperature that divides nothing, or positions that
            nothing here follows.
    """
    llama, c = model.model, model.config
    check_rotation(c)
    return Parts(
        embedding=Embedding(llama.embed_tokens, nn.Identity()),
        blocks=[block(layer, BOTH_WAYS, c) for layer in llama.layers],
        head=Head(
            nn.Identity(), tempered(model.score, c.logit_temperature), reads_scored_row=False
        ),
        n_positions=c.max_position_embeddings,
        context=RotaryMasked(llama.rotary_emb),
        final_norm=llama.norm,
    )


def tempered(score: nn.Linear, temperature: float) -> nn.Linear:
    """The map whose logits are those of `score` over a temperature: itself, if that is 1."""
    if isinstance(temperature, bool) or not temperature > 0:
        raise ValueError(
            f"the config.json of this llama_bidirec declares the temperature {temperature!r}, "
            "by which logits are divided; expected a number above 0"
        )
    if temperature == 1:
        return score
    with torch.device("meta"):
        made = nn.Linear(score.in_features, score.out_features, bias=False)
    exact = torch.promote_types(score.weight.dtype, torch.float32)
    made.weight = nn.Parameter(score.weight.detach().to(exact) / temperature, requires_grad=False)
    return made
