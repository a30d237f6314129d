"""From what was observed to the columns of a linear model.

At query token i with rarity g_i, a formula may use g_i, MS_h(i) of each head h, and the products
g_i · MS_h(i). Either one coefficient serves every token, so that columns are sums over the query,
as BM25 has it; or every place has its own, which ties the formula to queries of one length
(Lu et al., 2025, section 5: 5 tokens, 13 heads, 135 columns).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float

from .observe import Observed


PARTS: Final = ("idf", "tf", "idf·tf")


class Features(NamedTuple):
    """Columns with names, a row for each pair."""

    values: Float[np.ndarray, "pair feature"]
    names: tuple[str, ...]


def shared(
    rarity: Float[np.ndarray, "pair place"],
    soft_tf: Float[np.ndarray, "pair place head"],
    heads: Sequence[str],
    *,
    parts: Sequence[str] = PARTS,
) -> Features:
    """Sums over the query tokens: the same formula for every query."""
    by_token = _by_token(rarity, soft_tf, heads, parts)
    return Features(by_token.values.sum(axis=1), by_token.names)


def by_place(
    rarity: Float[np.ndarray, "pair place"],
    soft_tf: Float[np.ndarray, "pair place head"],
    heads: Sequence[str],
    *,
    parts: Sequence[str] = PARTS,
) -> Features:
    """A column for every place in the query; where a query is shorter, zeros."""
    by_token = _by_token(rarity, soft_tf, heads, parts)
    n_places = rarity.shape[1]
    names = tuple(f"{name} at {i}" for i in range(n_places) for name in by_token.names)
    return Features(by_token.values.reshape(len(rarity), -1), names)


def random_features(like: Features, observed: Observed, *, seed: int = 0) -> Features:
    """As many columns of Gaussian noise: what so many coefficients fit by chance."""
    drawn = np.random.default_rng(seed).standard_normal((len(observed), len(like.names)))
    return Features(drawn, tuple(f"noise {i}" for i in range(len(like.names))))


class _ByToken(NamedTuple):
    values: Float[np.ndarray, "pair place feature"]
    names: tuple[str, ...]


def _by_token(
    rarity: Float[np.ndarray, "pair place"],
    soft_tf: Float[np.ndarray, "pair place head"],
    heads: Sequence[str],
    parts: Sequence[str],
) -> _ByToken:
    if wrong := [part for part in parts if part not in PARTS]:
        raise ValueError(f"{wrong} are no parts of a formula; there are {', '.join(PARTS)}")
    g = rarity[..., None]
    every = {
        "idf": (g, ["idf"]),
        "tf": (soft_tf, [f"tf {head}" for head in heads]),
        "idf·tf": (g * soft_tf, [f"idf·tf {head}" for head in heads]),
    }
    chosen = [every[part] for part in PARTS if part in parts]
    return _ByToken(
        np.concatenate([values for values, _ in chosen], axis=-1),
        tuple(name for _, names in chosen for name in names),
    )
