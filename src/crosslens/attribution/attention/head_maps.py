"""The two maps of a head: which tokens it reads (QK), and what it makes of them (OV).

    scores[i, j]  ~  x_i M_QK x_j,  M_QK = W_Q W_K^T       written[i] = sum_j pattern[i, j] x_j M_OV

Both act on what attention reads of the stream and are of rank d_head, so that eigenvalues and
singular vectors cost next to nothing. Mostly positive eigenvalues of M_QK mean that tokens look
for what is like them, those of M_OV that the head passes on what it reads as it is (Elhage et
al., 2021). Biases are left out: what a head's query holds as a bias reads keys in a direction
of its own, `keys_of_bias`.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ...hooks import HasWeights
from ...interventions.edit import Singular
from ...sites import Unit


@dataclass(frozen=True, eq=False)
class HeadMap:
    """A map of low rank from the stream to the stream: left right^T."""

    left: Float[Tensor, "d_model d_head"]
    right: Float[Tensor, "d_model d_head"]

    @property
    def matrix(self) -> Float[Tensor, "d_model d_model"]:
        """The whole map."""
        return self.left @ self.right.T

    @cached_property
    def eigenvalues(self) -> Complex[Tensor, " d_head"]:
        """All that can differ from 0: those of right^T left."""
        left, right = self._in_memory
        return torch.linalg.eigvals(right.T @ left).to(self.left.device)

    @property
    def _in_memory(self) -> tuple[Float[Tensor, "d_model d_head"], Float[Tensor, "d_model d_head"]]:
        """Both sides where they are decomposed: a GPU would turn some directions round."""
        return self.left.cpu().double(), self.right.cpu().double()

    @property
    def positivity(self) -> float:
        """Sum of the eigenvalues over the sum of their sizes: 1 if all are positive, -1 if none.

        Nan for a map all of whose eigenvalues are 0.
        """
        size = float(self.eigenvalues.abs().sum())
        scale = float(self.left.norm() * self.right.norm())
        if size <= 1e-9 * scale or not scale:
            return float("nan")
        return float(self.eigenvalues.real.sum()) / size

    @cached_property
    def singular(self) -> Singular:
        """The singular directions: U on the side of the token that reads or is taken from."""
        left, right = self._in_memory
        one, inner = torch.linalg.qr(left)
        other, outer = torch.linalg.qr(right)
        U, S, Vh = torch.linalg.svd(inner @ outer.T)
        return Singular(one @ U, S, other @ Vh.mT).to(self.left.device)

    def alignment(self, direction: Float[Tensor, " d_model"], k: int = 1) -> tuple[float, float]:
        """How much of a direction lies in the `k` strongest of U, and of V: 0 none, 1 all.

        The length of the projection of the unit vector; for a random direction about
        sqrt(k / d_model).
        """
        if direction.shape != self.left.shape[:1]:
            raise ValueError(
                f"the stream is {self.left.shape[0]} wide, the direction {tuple(direction.shape)}"
            )
        unit = direction.double() / direction.double().norm()
        at = self.singular
        return float((unit @ at.U[:, :k]).norm()), float((unit @ at.V[:, :k]).norm())


@torch.no_grad()
def qk_map(model: HasWeights, head: Unit) -> HeadMap:
    """M_QK of a head: U is of the token that reads, V of the token that is read.

    Raises:
        NotImplementedError: a family whose scores are more than products of queries and keys
            (rotary or relative positions): no one matrix says what it reads.
    """
    weights = model.weights(head)
    if not weights.is_bilinear:
        raise NotImplementedError(
            f"what {head} reads depends on positions in this family (rotary or relative): "
            "no single matrix QK says it; ov_map is whole"
        )
    return HeadMap(weights.Q.detach(), weights.K.detach())


@torch.no_grad()
def ov_map(model: HasWeights, head: Unit) -> HeadMap:
    """M_OV of a head: U is of what it takes, V of what it writes."""
    weights = model.weights(head)
    return HeadMap(weights.V.detach(), weights.O.T.detach())


@torch.no_grad()
def keys_of_bias(model: HasWeights, head: Unit) -> Float[Tensor, " d_model"]:
    """What a head looks for whoever reads: the direction W_K b_Q of the stream.

    Its product with what a token holds is that token's attention score by the bias alone, times
    the square root of d_head. 0 where queries have no bias.
    """
    weights = model.weights(head)
    return weights.K @ weights.q_bias
