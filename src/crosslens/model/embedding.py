"""Embeddings: words, sentence ids and positions, added up and normalised."""

from collections.abc import Mapping
from functools import reduce

import torch
from jaxtyping import Float, Int
from torch import nn, Tensor
from transformer_lens.hook_points import HookPoint

from ..pairs import Pairs


class Embedding(nn.Module):
    """The start of the residual stream; tables a family lacks are left out.

    `norm` is all that follows the sum: a LayerNorm, with a projection before or after it
    where the tables are narrower than the stream. Tokens are numbered from 0; in RoBERTa from
    behind `padding`, the padding token, which stands at its own number wherever it occurs, also
    where a text spells it.
    """

    def __init__(
        self,
        words: nn.Embedding,
        norm: nn.Module,
        *,
        token_types: nn.Embedding | None = None,
        positions: nn.Embedding | None = None,
        padding: int | None = None,
    ):
        super().__init__()
        self.words, self.norm = words, norm
        self.token_types, self.positions = token_types, positions
        self.padding = padding
        self.hook_embed, self.hook_full_embed = HookPoint(), HookPoint()
        if token_types is not None:
            self.hook_token_type_embed = HookPoint()
        if positions is not None:
            self.hook_pos_embed = HookPoint()

    def forward(self, pairs: Pairs) -> Float[Tensor, "pair pos d_model"]:
        tables = {"embed": self.hook_embed(self.words(pairs.token))}
        if self.token_types is not None:
            kind = self.token_types(pairs.token_type)
            tables["token_type_embed"] = self.hook_token_type_embed(kind)
        if self.positions is not None:
            tables["pos_embed"] = self.hook_pos_embed(self.positions(self.places(pairs)))
        return self.add(tables)

    def places(self, pairs: Pairs) -> Int[Tensor, "pair pos"]:
        """The row of the position table for every token."""
        if self.padding is None:
            # Expanded, so that a hook sees every pair's own row.
            return torch.arange(pairs.token.shape[1], device=pairs.device).expand(len(pairs), -1)
        counted = (pairs.token != self.padding).long()
        return counted.cumsum(dim=1) * counted + self.padding

    def add(self, tables: Mapping[str, Tensor]) -> Float[Tensor, "pair pos d_model"]:
        """The stream, from what each table gave: sites by name, in their order."""
        return self.hook_full_embed(self.norm(reduce(torch.add, tables.values())))
