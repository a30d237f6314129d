"""What a family file returns: the original's modules, put in their places."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn, Tensor

from ...pairs import Pairs
from ..attention import Attention, Context, padding_mask
from ..block import Block, MLP, PostNormBlock
from ..embedding import Embedding
from ..head import Head
from ..layouts import Answer
from ..tokens import first


class Masked(nn.Module):
    """All that most families' attention needs: no position reads padding."""

    def forward(self, pairs: Pairs, resid: Tensor) -> Context:
        return {"mask": padding_mask(pairs.attended, resid.dtype)}


@dataclass(frozen=True)
class Parts:
    """The modules of a hooked transformer, adopted from the original and shared with it."""

    embedding: Embedding
    blocks: Sequence[Block]
    head: Head
    n_positions: int
    context: nn.Module = field(default_factory=Masked)  # (pairs, resid) to a `Context`
    final_norm: nn.Module | None = None
    scored: Callable[[Sequence[int]], int] = first  # the scored row, from the ids of a pair


def padding_of(embeddings: Any) -> int:
    """The number of the padding token, from which RoBERTa and its kin count positions.

    Raises:
        ValueError: config.json names none.
    """
    if embeddings.padding_idx is None:
        raise ValueError(
            "config.json declares pad_token_id null, but the positions of this family are counted "
            "from it; take config.json from the published checkpoint"
        )
    return embeddings.padding_idx


def answer_map(model: Any, answer: Answer, scale: float = 1.0) -> nn.Linear:
    """From a language model's last state to the score: `scale` times W_U[true] - W_U[false].

    Of the vocabulary only the rows of the answer are kept, and their difference in float32 at
    least, as every last map is applied.
    """
    weight = model.get_output_embeddings().weight.detach()
    exact = torch.promote_types(weight.dtype, torch.float32)
    row = weight[answer.true].to(exact)
    if answer.false is not None:
        row = row - weight[answer.false].to(exact)
    with torch.device("meta"):
        score = nn.Linear(len(row), 1, bias=False)
    score.weight = nn.Parameter(scale * row[None].clone(), requires_grad=False)
    return score


def check_encoder(attention: Any) -> None:
    """Refuse attention of BERT and its kin that reads earlier tokens alone.

    Raises:
        ValueError: config.json asks for it.
    """
    if getattr(attention, "is_causal", False):
        raise ValueError(
            "config.json declares is_decoder: tokens then read those before them alone, [CLS] none "
            "but itself; CrossLens follows this family as an encoder; take config.json from the "
            "published checkpoint"
        )


def bert_block(layer: Any, n_heads: int) -> Block:
    """A block of BERT, ELECTRA or RoBERTa, whose modules bear the same names."""
    attention = layer.attention.self
    check_encoder(attention)
    return PostNormBlock(
        Attention(
            attention.query, attention.key, attention.value, layer.attention.output.dense, n_heads
        ),
        MLP(layer.intermediate.dense, layer.intermediate.intermediate_act_fn, layer.output.dense),
        layer.attention.output.LayerNorm,
        layer.output.LayerNorm,
    )
