"""Embeddings: words, sentence ids and positions, added up and normalised."""

from collections.abc import Mapping
from functools import reduce

import torch
from jaxtyping import Float
from torch import nn, Tensor
from transformer_lens.hook_points import HookPoint

from ..pairs import Pairs


class Embedding(nn.Module):
    """The start of the residual stream; tables a family lacks are left out.

    `norm` is all that follows the sum: a LayerNorm, with a projection before or after it
    where the tables are narrower than the stream. The first token stands at
    `first_position` of the position table: 0, but padding_idx + 1 in RoBERTa.
    """

    def __init__(
        self,
        words: nn.Embedding,
        norm: nn.Module,
        *,
        token_types: nn.Embedding | None = None,
        positions: nn.Embedding | None = None,
        first_position: int = 0,
    ):
        super().__init__()
        self.words, self.norm = words, norm
        self.token_types, self.positions = token_types, positions
        self.first_position = first_position
        self.hook_embed, self.hook_full_embed = HookPoint(), HookPoint()
        if token_types is not None:
            self.hook_token_type_embed = HookPoint()
        if positions is not None:
            self.hook_pos_embed = HookPoint()

    def forward(self, pairs: Pairs) -> Float[Tensor, "pair pos d_model"]:
        tables = {"embed": self.hook_embed(self.words(pairs.token))}
        if self.token_types is not None:
            known = self.token_types.num_embeddings - 1  # RoBERTa has one sentence id only
            kind = self.token_types(pairs.token_type.clamp(max=known))
            tables["token_type_embed"] = self.hook_token_type_embed(kind)
        if self.positions is not None:
            place = torch.arange(pairs.token.shape[1], device=pairs.device) + self.first_position
            place = place.expand(len(pairs), -1)  # so that a hook sees every pair's own row
            tables["pos_embed"] = self.hook_pos_embed(self.positions(place))
        return self.add(tables)

    def add(self, tables: Mapping[str, Tensor]) -> Float[Tensor, "pair pos d_model"]:
        """The stream, from what each table gave: sites by name, in their order."""
        return self.hook_full_embed(self.norm(reduce(torch.add, tables.values())))
