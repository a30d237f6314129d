"""A value made for a unit: its axes are the last ones of what the unit carries."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..sites import Unit


def fit(
    value: Float[Tensor, "..."] | float, carried: Float[Tensor, "pair ..."], unit: Unit
) -> Float[Tensor, "pair ..."]:
    """`value` in the shape of what `unit` carries, repeated along the axes that it lacks.

    For a head, whose `z` has the axes (pair, pos, d_head), that may be a number, a [d_head]
    vector for every position, a [pos, d_head] matrix for every pair, or the whole. An axis of
    size 1 is repeated. Anything else is a `ValueError`: torch would sometimes find a way.
    """
    value = torch.as_tensor(value, dtype=carried.dtype, device=carried.device)
    last = carried.shape[max(carried.dim() - value.dim(), 0) :]
    if len(last) != value.dim() or any(
        mine not in (1, theirs) for mine, theirs in zip(value.shape, last, strict=True)
    ):
        axes = ", ".join(unit.left)
        raise ValueError(
            f"{unit} carries {tuple(carried.shape)}, with the axes ({axes}); a value of shape "
            f"{tuple(value.shape)} does not fit the last of them"
        )
    return value.expand_as(carried)
