"""Scoring heads: formulas that read a score off the states that a reranker's layers leave.

With h_k the state after layer k = 1..n (Qiao et al., 2019, section 3):

    Rep         cos(q_cls_n, d_cls_n), query and document encoded apart
    Last-Int    w · qd_cls_n
    Mult-Int    Σ_k w_k · qd_cls_k
    Term-Trans  Σ_k w_k · mean over i in query, j in document of cos(relu(P_k q_i), relu(P_k d_j))

All but the states is the head's own. Each has a bias too, which changes no ranking, so that the
sigmoid of its score can be a probability; Rep has a scale for the same reason.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final

import torch
from einops import einsum
from jaxtyping import Float
from torch import nn, Tensor

from ..probing.features import Features


States = Mapping[str, Features]  # the group that is read, to its vectors after every layer
WIDTH: Final = 64  # of Term-Trans' projections; the paper does not print its own


class ScoringHead(nn.Module):
    """A formula from states to scores; `reads` names the groups of tokens it needs."""

    reads: ClassVar[tuple[str, ...]] = ("cls",)

    def __init__(self, n_layers: int, d_model: int):
        super().__init__()
        self.n_layers, self.d_model = n_layers, d_model
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, states: States) -> Float[Tensor, " pair"]:
        """The scores of the pairs whose states are given, in units of a logit."""
        raise NotImplementedError


class Rep(ScoringHead):
    """The cosine of query and document, encoded apart, times a scale that is learned."""

    reads = ("query alone", "document alone")

    def __init__(self, n_layers: int, d_model: int):
        super().__init__(n_layers, d_model)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, states: States) -> Float[Tensor, " pair"]:
        """The scaled cosine after the last layer."""
        query, document = (states[name].vectors[-1] for name in self.reads)
        return self.scale * torch.cosine_similarity(query, document) + self.bias


class LastInt(ScoringHead):
    """A linear function of [CLS] after the last layer."""

    def __init__(self, n_layers: int, d_model: int):
        super().__init__(n_layers, d_model)
        self.w = nn.Parameter(torch.zeros(d_model))

    def forward(self, states: States) -> Float[Tensor, " pair"]:
        """w · [CLS] of the last layer."""
        return states["cls"].vectors[-1] @ self.w + self.bias


class MultInt(ScoringHead):
    """A linear function of [CLS] after all layers together."""

    def __init__(self, n_layers: int, d_model: int):
        super().__init__(n_layers, d_model)
        self.w = nn.Parameter(torch.zeros(n_layers, d_model))

    def forward(self, states: States) -> Float[Tensor, " pair"]:
        """The sum over layers of w_k · [CLS]."""
        cls = states["cls"].vectors
        return einsum(cls, self.w, "layer pair d, layer d -> pair") + self.bias


class TermTrans(ScoringHead):
    """A sum over layers of how alike the projected tokens of query and document are on average."""

    reads = ("query", "document")

    def __init__(self, n_layers: int, d_model: int, *, width: int = WIDTH, seed: int = 0):
        super().__init__(n_layers, d_model)
        generator = torch.Generator().manual_seed(seed)
        P = torch.randn(n_layers, width, d_model, generator=generator) / d_model**0.5
        self.P = nn.Parameter(P)
        self.w = nn.Parameter(torch.ones(n_layers) / n_layers)

    def forward(self, states: States) -> Float[Tensor, " pair"]:
        """The weighted sum of the layers' mean cosines; a pair without tokens has 0 of each."""
        query, document = (self.directions(states[name]) for name in self.reads)
        # the mean of the cosines over i and j is the product of the mean directions
        return einsum(query, document, self.w, "layer p d, layer p d, layer -> p") + self.bias

    def directions(self, tokens: Features) -> Float[Tensor, "layer pair width"]:
        """The mean over each pair's tokens of relu(P h), of unit length (or 0) each."""
        projected = einsum(tokens.vectors, self.P, "layer n d, layer width d -> layer n width")
        unit = nn.functional.normalize(projected.relu(), dim=-1)
        total = unit.new_zeros(len(unit), tokens.n_pairs, unit.shape[-1])
        total = total.index_add(1, tokens.pair, unit)
        return total / tokens.counts.clamp(min=1)[:, None]


SCORING_HEADS: Final[Mapping[str, type[ScoringHead]]] = MappingProxyType(
    {"Rep": Rep, "Last-Int": LastInt, "Mult-Int": MultInt, "Term-Trans": TermTrans}
)
