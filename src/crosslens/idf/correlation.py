"""Which singular directions of the word embeddings go with IDF, and how much of it they tell.

W_E = U S V^T; U_k[t] is where token t stands along the k-th direction. Lu et al. (2025, section
4.4) report a Pearson correlation of -0.71 between U_0 and IDF for one checkpoint. Singular
vectors have no sign of their own: here each is turned so that r is at least 0.

Two cautions are built in. Of 50 directions the best one correlates by chance as well: `chance`
is what the best of them reaches when IDF is shuffled among the tokens. And where all rows share a
large constant, U_0 is that constant's direction; its small variation can go with IDF although
moving a token along it changes something else. Rows are therefore `centred` first where one
looks for a direction to edit; the authors' figures are those of rows as they are.
"""

from typing import Final

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy.stats import rankdata
from sklearn.model_selection import KFold
from torch import Tensor

from ..arrays import array
from ..interventions.edit import Singular, singular_vectors
from ..not_measurable import NotMeasurable
from .token_idf import TokenIdf


FOLDS: Final = 5
SHUFFLES: Final = 200
ROUNDING: Final = 1e-8  # of a column: what is left of it where others make it up


def directions_of(W_E: Float[Tensor, "token d_embed"], *, centre: bool = False) -> Singular:
    """The singular directions of an embedding matrix in float64, its rows centred on request.

    A planted matrix holds a constant ten thousand times its signals: single precision would
    round them away. Decomposed in main memory, as `singular_vectors` does.
    """
    rows = W_E.detach().cpu().double()
    found = singular_vectors(rows - rows.mean(dim=0) if centre else rows)
    return found.to(W_E.device)


def idf_correlations(
    directions: Singular,
    idf: TokenIdf,
    *,
    most: int = 50,
    seed: int = 0,
) -> pd.DataFrame:
    """How each of the first `most` singular directions goes with IDF, over `idf.is_known`.

    Columns: `k`; the singular value and its `share` of the squared norm; `pearson` with its 95 %
    interval by Fisher's z (`low`, `high`), turned to be at least 0 (`sign` is what U_k was
    multiplied by); `spearman` so turned; `explained`, the held-out R^2 of IDF on directions 0 to
    k together (5 folds over tokens, plain least squares; what lies beyond the rank of the
    embeddings adds nothing; nan where a fold leaves too few tokens to fit as many), and the same
    for as many random directions in the span of all (`random`); `chance`, the 95 % quantile, over
    shuffles of IDF, of the largest correlation among all `most` directions.

    Raises:
        NotMeasurable: fewer than 30 tokens have a known IDF.
    """
    known = known_tokens(directions, idf)
    U = directions.U[known].double().cpu().numpy()
    values = idf.values[known].numpy()
    most = min(most, U.shape[1])
    generator = np.random.default_rng(seed)

    signed = correlations(U[:, :most], values[:, None])[:, 0]
    sign = np.where(signed < 0, -1, 1)
    pearson = np.abs(signed)
    spread = 1.96 / np.sqrt(len(values) - 3)
    shuffled = np.stack([generator.permutation(values) for _ in range(SHUFFLES)], axis=1)
    best = np.abs(correlations(U[:, :most], shuffled)).max(axis=0)
    ranks = np.apply_along_axis(rankdata, 0, U[:, :most])
    # weighed by the singular values: random directions of the embedding space itself
    sizes = array(directions.S)
    random = (U * sizes) @ generator.standard_normal((U.shape[1], most))
    nothing = len(sizes) * torch.finfo(directions.S.dtype).eps * sizes.max()
    rank = int((sizes > nothing).sum())
    return pd.DataFrame(
        {
            "k": np.arange(most),
            "singular_value": sizes[:most],
            "share": (sizes**2)[:most] / (sizes**2).sum(),
            "sign": sign,
            "pearson": pearson,
            "low": np.tanh(np.arctanh(np.minimum(pearson, 1 - 1e-12)) - spread),
            "high": np.tanh(np.arctanh(np.minimum(pearson, 1 - 1e-12)) + spread),
            "spearman": sign * correlations(ranks, rankdata(values)[:, None])[:, 0],
            "explained": _explained(U[:, :most], values, seed, rank),
            "random": _explained(random, values, seed, rank),
            "chance": np.quantile(best, 0.95),
            "n": len(values),
        }
    )


def known_tokens(directions: Singular, idf: TokenIdf) -> Tensor:
    if len(idf) > len(directions.U):
        raise ValueError(
            f"{idf} speaks of {len(idf):,} ids, the embedding matrix has {len(directions.U):,}: "
            "give the tokenizer of this model"
        )
    known = idf.is_known.nonzero().flatten()
    if len(known) < 30:
        raise NotMeasurable(f"{idf}: {len(known)} tokens are too few to correlate; 30 at least")
    return known


def correlations(
    a: Float[np.ndarray, "item a"], b: Float[np.ndarray, "item b"]
) -> Float[np.ndarray, "a b"]:
    """Pearson's, of every column with every column."""
    a, b = (
        (x - x.mean(axis=0)) / np.maximum(np.linalg.norm(x - x.mean(axis=0), axis=0), 1e-300)
        for x in (a, b)
    )
    return a.T @ b


def _explained(
    columns: Float[np.ndarray, "item k"], values: Float[np.ndarray, " item"], seed: int, rank: int
) -> Float[np.ndarray, " k"]:
    """The held-out R^2 of `values` on the first 1, 2, ... columns; those beyond `rank` add nothing.

    An orthonormal basis per fold makes one least-squares fit serve all numbers of columns.
    """
    folds = list(KFold(FOLDS, shuffle=True, random_state=seed).split(columns))
    n_fit = min(len(train) for train, _ in folds) - 1  # as many can be fitted, beside the mean
    n_columns, columns = columns.shape[1], columns[:, : min(rank, n_fit)]
    rest, total = np.zeros(n_columns), 0.0
    for train, test in folds:
        middle, mean = columns[train].mean(axis=0), values[train].mean()
        seen, unseen = columns[train] - middle, columns[test] - middle
        left = np.abs(np.diag(np.linalg.qr(seen, mode="r")))  # of each, beside those before it
        is_new = np.flatnonzero(left > ROUNDING * np.linalg.norm(seen, axis=0))
        Q, R = np.linalg.qr(seen[:, is_new])
        turned = np.linalg.solve(R.T, unseen[:, is_new].T).T
        adds = np.zeros((len(test), n_columns))
        adds[:, is_new] = turned * (Q.T @ (values[train] - mean))
        error = (values[test] - mean)[:, None] - adds.cumsum(axis=1)
        rest += (error**2).sum(axis=0)
        total += ((values[test] - mean) ** 2).sum()
    return np.where(np.arange(n_columns) < n_fit, 1 - rest / total, np.nan)
