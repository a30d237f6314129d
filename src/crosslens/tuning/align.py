"""Embeddings whose IDF direction is set to the IDF of another collection before training."""

from jaxtyping import Float
from torch import Tensor

from ..idf.correlation import correlations, directions_of
from ..idf.token_idf import TokenIdf


def aligned(
    W_E: Float[Tensor, "token d_embed"], idf: TokenIdf, *, k: int = 0, centre: bool = False
) -> Float[Tensor, "token d_embed"]:
    """The embedding matrix with U_k of every whole token of known IDF set to that IDF.

    IDF is given the mean and the deviation that U_k has over these tokens, and the sign of their
    correlation; all else, and every other token, stays (Lu et al., 2025, appendix F.2, where k
    is 0 and rows are as they are).

    Raises:
        ValueError: there is no direction `k`, or no token's IDF is known.
    """
    directions = directions_of(W_E, centre=centre)
    known = idf.is_known.nonzero().flatten().to(W_E.device)
    if not len(known):
        raise ValueError(f"{idf}: nothing to align with")
    here = directions.at(known, k)
    target = idf.values.to(here)[known]
    r = correlations(here[:, None].cpu().numpy(), target[:, None].cpu().numpy())[0, 0]
    standard = (target - target.mean()) / target.std()
    goal = here.mean() + (1 if r > 0 else -1) * here.std() * standard
    changed = W_E.detach().double().clone()
    changed[known] += (goal - here)[:, None] * directions.S[k] * directions.V[:, k]
    return changed.to(W_E)


def is_embedding(name: str) -> bool:
    """Whether a parameter of this name is one of the embeddings: words, positions, types, norm."""
    return "embedding" in name
