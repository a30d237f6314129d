"""The layout of the residual stream: named signals that pass every LayerNorm unharmed.

Each signal is stored twice, as +s at one coordinate and −s at its mirror image, so that the
mean of a token's vector is 0 whatever it carries. One signal is a constant C far above all
others, so that the variance is 2C²/d · (1 + Σs²/C²), nearly the same for every token. With
the gain γ = C·√(2/d) LayerNorm is then the identity but for the factor 1 − Σs²/2C²: a few
millionths less than 1 for a score of 30, and less for all else. Reading half the difference
of the two coordinates cancels what rounding does to the mean.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Final

import torch
from jaxtyping import Float
from torch import nn, Tensor

from .codes import N_CODE


C: Final = 10_000.0
SIGNALS: Final = (
    "idf",  # the logarithm of a token's inverse document frequency
    "cls",  # 1 at [CLS]
    "sep",  # 1 at both [SEP]
    "document",  # 1 from the first document token to the last [SEP]
    "length",  # what a pair that ended here would add to log K
    "room",  # the same, at the last [SEP] only: the length of this pair
    "tf",  # saturated term frequency, from the matching head
    "spare tf",  # the same from its backup
    "score",  # IDF-weighted sum of tf
    "unread",  # what decoys write
    "count",  # tf before a contextual head spreads it over the query
)
UNREAD: Final = "unread"
N_SIGNALS: Final = N_CODE + len(SIGNALS) + 1  # and the constant


@dataclass(frozen=True)
class Space:
    """Directions in a stream of `d_model` coordinates, an even number of them."""

    d_model: int

    def write(self, signal: str) -> Float[Tensor, " d_model"]:
        """What adds 1 to the signal."""
        return self._direction(N_CODE + SIGNALS.index(signal))

    def read(self, signal: str) -> Float[Tensor, " d_model"]:
        """What the signal is the scalar product with; `read` · `write` = 1."""
        return self.write(signal) / 2

    @property
    def code(self) -> Float[Tensor, "code d_model"]:
        """What adds 1 to each coordinate of the identity code; half of it reads them."""
        return torch.stack([self._direction(i) for i in range(N_CODE)])

    @property
    def constant(self) -> Float[Tensor, " d_model"]:
        """What every token carries."""
        return C * self._direction(self.d_model // 2 - 1)

    @property
    def readers(self) -> Float[Tensor, "signal d_model"]:
        """What reads each coordinate of the code, and each signal that anybody reads."""
        read = [self.read(signal) for signal in SIGNALS if signal != UNREAD]
        return torch.cat([self.code / 2, torch.stack(read)])

    def linearise(self, norm: nn.LayerNorm) -> None:
        """Give the LayerNorm the gain that makes it the identity."""
        norm.weight.fill_(C * sqrt(2 / self.d_model))
        norm.bias.zero_()

    def _direction(self, i: int) -> Float[Tensor, " d_model"]:
        direction = torch.zeros(self.d_model)
        direction[i], direction[self.d_model // 2 + i] = 1.0, -1.0
        return direction


def width(n_heads: int) -> int:
    """The smallest d_model with room for every signal twice, and in each head for a code."""
    d_head = max(N_CODE + 1, -(-2 * N_SIGNALS // n_heads))
    return n_heads * 4 * -(-d_head // 4)
