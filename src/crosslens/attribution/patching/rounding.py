"""What half precision costs: `model.to(torch.bfloat16)` scores faster on a GPU, and rounds.

exact = sweep(model, pairs, cells)
rough = sweep(model.to(torch.bfloat16), pairs, cells)
print(rounding(rough, exact))
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ...stats import spearman


@dataclass(frozen=True)
class Rounding:
    """How far scores are from the exact ones, cell by cell."""

    worst: float  # the largest difference in score
    share: float  # that, of the spread of the exact scores over the cells of its pair
    order: float  # Spearman's correlation over the cells, the mean of all pairs

    def __str__(self) -> str:
        return (
            f"off by {self.worst:.1e} at most, {self.share:.1e} of the spread over cells; "
            f"rank correlation {self.order:.4f}"
        )


def rounding(found: Float[Tensor, "cell pair"], exact: Float[Tensor, "cell pair"]) -> Rounding:
    """How far `found` is from `exact`, the scores of one sweep in two precisions.

    Raises:
        ValueError: of a pair, all cells score alike: there is no spread to compare with.
    """
    found, exact = found.double().cpu(), exact.double().cpu()
    spread = exact.amax(dim=0) - exact.amin(dim=0)
    flat = (spread == 0).nonzero().flatten().tolist()
    if flat:
        raise ValueError(f"all cells score alike in pairs {flat}: sweep cells that differ")
    off = (found - exact).abs().amax(dim=0)
    order = [spearman(a, b) for a, b in zip(found.T.numpy(), exact.T.numpy(), strict=True)]
    return Rounding(float(off.max()), float((off / spread).max()), sum(order) / len(order))
