"""The layout of a planted decoder's stream: one coordinate for each signal.

RMSNorm subtracts no mean, so that a signal needs no mirror image as in a BERT (`planted.space`);
the rest is the same idea. One coordinate holds a constant C far above all signals, so that the
mean square is C²/d · (1 + Σs²/C²), nearly the same for every token, and with the gain C/√d the
norm is the identity but for the factor 1 − Σs²/2C².
"""

from dataclasses import dataclass
from math import sqrt
from typing import Final

import torch
from jaxtyping import Float
from torch import nn, Tensor

from ..codes import N_CODE
from ..space import UNREAD


C: Final = 1_000_000.0
SIGNALS: Final = (
    "idf",  # a term's inverse document frequency
    "cls",  # 1 at [CLS], the first token
    "sep",  # 1 at both [SEP]
    "document",  # 1 from the first [SEP] on: a token is of the document if it can read a [SEP]
    "alone",  # 1 / (i + 1) at the i-th occurrence of a term
    "repeated",  # 1 or more at query tokens whose term has occurred before, else 0
    "query idf",  # IDF at query tokens, 0 at document tokens
    "tf",  # IDF times what this occurrence adds to saturated term frequency
    "score",  # their sum over the document, at the last token
    UNREAD,  # what decoys write
)
N_SIGNALS: Final = N_CODE + len(SIGNALS) + 1  # and the constant


@dataclass(frozen=True)
class CausalSpace:
    """Directions in a stream of `d_model` coordinates."""

    d_model: int

    @classmethod
    def of(cls, n_heads: int) -> "CausalSpace":
        """The narrowest stream that holds every signal, a multiple of the number of heads."""
        return cls(n_heads * -(-N_SIGNALS // n_heads))

    def write(self, signal: str) -> Float[Tensor, " d_model"]:
        """What adds 1 to the signal."""
        return torch.eye(self.d_model)[N_CODE + SIGNALS.index(signal)]

    def read(self, signal: str) -> Float[Tensor, " d_model"]:
        """What the signal is the scalar product with: each is one coordinate."""
        return self.write(signal)

    @property
    def code(self) -> Float[Tensor, "code d_model"]:
        """What adds 1 to each coordinate of the identity code, and reads it."""
        return torch.eye(self.d_model)[:N_CODE]

    @property
    def readers(self) -> Float[Tensor, "signal d_model"]:
        """What reads each coordinate of the code, and each signal that anybody reads."""
        read = [self.read(signal) for signal in SIGNALS if signal != UNREAD]
        return torch.cat([self.code, torch.stack(read)])

    @property
    def constant(self) -> Float[Tensor, " d_model"]:
        """What every token carries."""
        return C * torch.eye(self.d_model)[-1]

    def linearise(self, norm: nn.Module) -> None:
        """Give the RMSNorm the gain that makes it the identity."""
        assert isinstance(norm.weight, Tensor)
        norm.weight.fill_(C / sqrt(self.d_model))
