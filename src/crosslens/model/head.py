"""The relevance head: from the last stream to the logits, and from the logits to the score."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import nn, Tensor
from torch.nn import functional as F
from transformer_lens.hook_points import HookPoint

from ..pairs import row_at


class Head(nn.Module):
    """The scored row, or the mean of all tokens, through a hidden layer to the logits."""

    def __init__(self, hidden: nn.Module, out: nn.Linear, *, reads_scored_row: bool = True):
        super().__init__()
        self.hidden, self.out = hidden, out
        self.reads_scored_row = reads_scored_row
        self.hook_pooled, self.hook_logits = HookPoint(), HookPoint()

    def forward(
        self,
        resid: Float[Tensor, "pair pos d_model"],
        attended: Bool[Tensor, "pair all_pos"],
        scored: Int[Tensor, " pair"],
    ) -> Float[Tensor, "pair label"]:
        if self.reads_scored_row:
            read = row_at(resid, scored)[:, 0]
        else:
            weight = attended[:, :, None].to(resid.dtype)
            read = (resid * weight).sum(dim=1) / weight.sum(dim=1)
        return self.logits(self.hidden(read))

    def logits(self, pooled: Float[Tensor, "pair d"]) -> Float[Tensor, "pair label"]:
        """The last map, and its hook points.

        In float32 at least: bfloat16 has 8 digits in base 2, in which scores of one size tie.
        """
        pooled, out = self.hook_pooled(pooled), self.out
        exact = torch.promote_types(pooled.dtype, torch.float32)
        bias = None if out.bias is None else out.bias.to(exact)
        return self.hook_logits(F.linear(pooled.to(exact), out.weight.to(exact), bias))


@dataclass(frozen=True)
class Relevance:
    """How the score is read from the logits: linear and free of shifts, so that it can be
    patched and attributed.

    One label: its logit. Two labels: the log-odds, logit[relevant] - logit[other].
    """

    n_labels: int
    relevant: int

    def __call__(self, logits: Float[Tensor, "pair label"]) -> Float[Tensor, " pair"]:
        if self.n_labels == 1:
            return logits[:, 0]
        if self.n_labels == 2:
            return logits[:, self.relevant] - logits[:, 1 - self.relevant]
        return logits[:, self.relevant]

    def __str__(self) -> str:
        if self.n_labels == 1:
            return "the logit"
        if self.n_labels == 2:
            return f"logit[{self.relevant}] - logit[{1 - self.relevant}]"
        return f"logit[{self.relevant}] of {self.n_labels}"


RELEVANT = re.compile(r"relevant|true|yes|positive|entail\w*|duplicate|match", re.IGNORECASE)


def relevance(n_labels: int, id2label: Mapping[int, str] | None, relevant: int | None) -> Relevance:
    """The rule for a checkpoint: the caller's word, else the label names, else label 1 of 2."""
    if relevant is not None:
        if not 0 <= relevant < n_labels:
            raise ValueError(f"relevant={relevant}, but the model has labels 0 to {n_labels - 1}")
        return Relevance(n_labels, relevant)
    if n_labels > 2:
        raise ValueError(
            f"the model has {n_labels} labels ({dict(id2label or {})}) and none is the relevant "
            "one by convention; say which with load(..., relevant=INDEX)"
        )
    named = [i for i, name in (id2label or {}).items() if RELEVANT.fullmatch(str(name))]
    return Relevance(n_labels, named[0] if len(named) == 1 else n_labels - 1)
