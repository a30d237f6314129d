"""Edits of the embedding matrix that last as long as the hook: no weight is touched.

    edit_rows(token, rows)              W_E[t] <- row
    move_rows(token, shift)             W_E[t] <- W_E[t] + shift
    scale_rows(token, factor)           W_E[t] <- factor W_E[t]
    edit_coordinate(s, token, value)    U_k[t] <- value, where W_E = U S V^T
    scale_coordinate(s, token, factor)  U_k[t] <- factor |U_k[t]|

`token` are ids of the vocabulary, and every occurrence of theirs is edited, as if the matrix
had been; `pos` restricts that to the tokens of a segment or role ("query"), which no edit of
the weights can do. Lu et al. (2025), section 4.4, find the IDF of a token in U_0.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..hooks import Hook
from ..pairs import Pairs
from ..sites import Names, Site


Tokens = Int[Tensor, " row"] | Sequence[int]


class Singular(NamedTuple):
    """A thin singular value decomposition: W_E = U diag(S) V^T, columns by falling S.

    The sign of a column pair is arbitrary.
    """

    U: Float[Tensor, "token k"]
    S: Float[Tensor, " k"]
    V: Float[Tensor, "d_embed k"]

    def at(self, token: "Tokens", k: int) -> Float[Tensor, " row"]:
        """U_k of these tokens: where they stand along the k-th direction."""
        if not 0 <= k < len(self.S):
            raise ValueError(f"k={k}, but there are singular directions 0 to {len(self.S) - 1}")
        ids = _ids(token).to(self.U.device)
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < len(self.U):
            raise ValueError(f"the vocabulary has ids 0 to {len(self.U) - 1}; found {ids.tolist()}")
        return self.U[ids, k]

    def to(self, device: torch.device) -> "Singular":
        """The same decomposition on another device."""
        return Singular(*(each.to(device) for each in self))


def singular_vectors(W_E: Float[Tensor, "token d_embed"]) -> Singular:
    """The singular directions of an embedding matrix: `singular_vectors(model.W_E)`.

    Decomposed in main memory: a GPU would turn some of them round, and others within the space of
    equal singular values. In float32 where embeddings are of 16 bit.
    """
    exact = torch.promote_types(W_E.dtype, torch.float32)
    U, S, Vh = torch.linalg.svd(W_E.detach().to("cpu", exact), full_matrices=False)
    return Singular(U, S, Vh.mT).to(W_E.device)


def edit_rows(
    token: Tokens, rows: Float[Tensor, "row d_embed"], *, pos: Names | None = None
) -> Hook:
    """Give each of these tokens the embedding in its row."""
    _one_each(token, rows, "rows")
    return _edited(token, pos, lambda old, which: _as_wide(rows, old)[which])


def move_rows(
    token: Tokens,
    shift: Float[Tensor, "row d_embed"] | Float[Tensor, " d_embed"],
    *,
    pos: Names | None = None,
) -> Hook:
    """Add `shift`, one for each token or one for all, to the embeddings of these tokens."""
    if shift.dim() == 1:
        return _edited(token, pos, lambda old, _: old + _as_wide(shift, old))
    _one_each(token, shift, "shifts")
    return _edited(token, pos, lambda old, which: old + _as_wide(shift, old)[which])


def scale_rows(token: Tokens, factor: float, *, pos: Names | None = None) -> Hook:
    """Multiply the whole embeddings of these tokens: the control of `scale_coordinate`."""
    return _edited(token, pos, lambda old, _: factor * old)


def edit_coordinate(
    directions: Singular,
    token: Tokens,
    value: Float[Tensor, " row"],
    *,
    k: int = 0,
    pos: Names | None = None,
) -> Hook:
    """Give these tokens the coordinates `value` along the k-th singular direction."""
    _one_each(token, value, "values")
    shift = value.to(directions.U) - directions.at(token, k)
    return move_rows(token, shift[:, None] * directions.S[k] * directions.V[:, k], pos=pos)


def scale_coordinate(
    directions: Singular, token: Tokens, factor: float, *, k: int = 0, pos: Names | None = None
) -> Hook:
    """U_k[t] <- factor |U_k[t]|: the sign of `factor` is the sign they all get.

    Lu et al. (2025), section 4.4: where U_0 falls with IDF, a factor of -s raises the IDF of
    the tokens and +s lowers it.
    """
    size = directions.at(token, k).abs()
    return edit_coordinate(directions, token, factor * size, k=k, pos=pos)


def _edited(token: Tokens, pos: Names | None, change: Callable[[Tensor, Tensor], Tensor]) -> Hook:
    """Put `change(embeddings, rows)` in place of the embeddings of `token`, found at `rows`."""
    ids, order = _ids(token).sort()
    if not len(ids):
        raise ValueError("no token to edit: give at least one id")
    if (ids[1:] == ids[:-1]).any():
        twice = sorted(set(ids[1:][ids[1:] == ids[:-1]].tolist()))
        raise ValueError(f"tokens {twice} are listed more than once: each has one embedding")

    def rewrite(carried: Tensor, pairs: Pairs) -> Tensor:
        known, row = ids.to(carried.device), order.to(carried.device)
        at = torch.searchsorted(known, pairs.token.contiguous()).clamp(max=len(known) - 1)
        hit = known[at] == pairs.token
        edited = carried.clone()
        edited[hit] = change(carried[hit], row[at[hit]])
        return edited

    unit = Site("embed").at(**({} if pos is None else {"pos": pos}))
    return Hook(unit, rewrite, sees_pairs=True)


def _ids(token: Tokens) -> Int[Tensor, " row"]:
    return torch.as_tensor(token, dtype=torch.long).detach()


def _one_each(token: Tokens, given: Tensor, what: str) -> None:
    if len(token) != len(given):
        raise ValueError(f"{len(token)} tokens, but {len(given)} {what}: each token needs one")


def _as_wide(given: Float[Tensor, "... d_embed"], old: Tensor) -> Float[Tensor, "... d_embed"]:
    """`given` on the device of the embeddings, if it is as wide as they are."""
    if given.shape[-1] != old.shape[-1]:
        raise ValueError(
            f"the model's word embeddings are {old.shape[-1]} wide, those given "
            f"{given.shape[-1]}; model.W_E has the right width"
        )
    return given.to(old)
