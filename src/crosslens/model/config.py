"""The shape of an encoder, under the names TransformerLens users know."""

from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True)
class Config:
    """Sizes of a hooked cross-encoder, and where its LayerNorms stand."""

    family: str
    n_layers: int
    n_heads: int
    d_model: int
    d_head: int
    d_mlp: int
    n_labels: int
    n_positions: int  # the longest pair, in tokens, special ones included
    norm: Literal["post", "pre"]
    checkpoint: str = "a model in memory"
    device: torch.device | None = None
    n_key_value_heads: int | None = None  # None: every head has keys and values of its own

    @property
    def block_output(self) -> str:
        """The site that the next block reads: after LayerNorm 2 in a post-LN model."""
        return "normalized_resid_post" if self.norm == "post" else "resid_post"
