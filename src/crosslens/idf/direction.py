"""The IDF direction: along which of its singular directions an embedding matrix holds IDF."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..arrays import array
from ..hooks import Hook
from ..interventions.edit import edit_coordinate, scale_coordinate, Singular, Tokens
from ..signals.frequency import Number
from ..sites import Names
from .correlation import correlations, directions_of, known_tokens
from .token_idf import TokenIdf


@dataclass(frozen=True, eq=False)
class IdfDirection:
    """A line in the embedding space along which rarer tokens stand further.

    Attributes:
        directions: the decomposition it was found in.
        k: which of its directions.
        r: Pearson's correlation of U_k with IDF, on tokens that `k` was not chosen on; turned so
            that U_k rises with IDF over all, it is below 0 by chance alone.
        slope, intercept: where a token of a given IDF stands on average, by least squares over
            all tokens with a known one: U_k = intercept + slope * IDF.
        values: IDF as the embeddings have it, for every token: U_k, turned, with the mean and
            the deviation that IDF has (Lu et al., 2025, section 5).
        source: what was correlated.
    """

    directions: Singular
    k: int
    r: float
    slope: float
    intercept: float
    values: Float[Tensor, " token"]
    source: str

    @property
    def sign(self) -> int:
        """1 where U_k rises with IDF, -1 where it falls."""
        return 1 if self.slope > 0 else -1

    @property
    def vector(self) -> Float[Tensor, " d_embed"]:
        """V_k, of unit length, turned towards rarer tokens."""
        return self.sign * self.directions.V[:, self.k]

    def to(
        self, token: Tokens, target: Float[Tensor, " row"] | Number, *, pos: Names | None = None
    ) -> Hook:
        """Give tokens the coordinate that a token of the `target` IDF has on average."""
        goal = torch.as_tensor(target, dtype=torch.float64).expand(len(token))
        value = self.intercept + self.slope * goal
        return edit_coordinate(self.directions, token, value, k=self.k, pos=pos)

    def scaled(self, token: Tokens, factor: Number, *, pos: Names | None = None) -> Hook:
        """U_k[t] <- ± factor |U_k[t]|: a positive factor raises IDF, a negative one lowers it.

        The authors' edit (section 4.4), whose sign depends on that of the correlation.
        """
        return scale_coordinate(self.directions, token, self.sign * factor, k=self.k, pos=pos)

    def __str__(self) -> str:
        return f"IDF along direction {self.k}, r = {self.r:.3f} ({self.source})"


def idf_direction(
    W_E: Float[Tensor, "token d_embed"],
    idf: TokenIdf,
    *,
    centre: bool = True,
    most: int = 50,
    k: int | None = None,
    seed: int = 0,
) -> IdfDirection:
    """The one of the first `most` singular directions that goes best with IDF.

    It is chosen on half of the tokens with a known IDF, and its correlation is that on the other
    half. `k` takes the choice away: k=0 and centre=False are the authors'.

    Raises:
        NotMeasurable: fewer than 30 tokens have a known IDF.
        ValueError: there is no direction `k`.
    """
    directions = directions_of(W_E, centre=centre)
    known = known_tokens(directions, idf)
    U, rarity = array(directions.U[known]), idf.values[known].numpy()
    order = np.random.default_rng(seed).permutation(len(known))
    seen, unseen = order[::2], order[1::2]
    if k is None:
        k = int(np.abs(correlations(U[seen, :most], rarity[seen, None])).argmax())
    elif not 0 <= k < U.shape[1]:
        raise ValueError(f"k={k}, but there are singular directions 0 to {U.shape[1] - 1}")
    along = U[:, k]
    slope, intercept = np.polyfit(rarity, along, 1)
    sign = np.sign(slope)
    standard = (directions.U[:, k].cpu() - along.mean()) / along.std()
    return IdfDirection(
        directions,
        k,
        r=float(sign * correlations(along[unseen, None], rarity[unseen, None])[0, 0]),
        slope=float(slope),
        intercept=float(intercept),
        values=sign * standard * rarity.std() + rarity.mean(),
        source=f"{'centred' if centre else 'uncentred'} embeddings against {idf.source}",
    )
