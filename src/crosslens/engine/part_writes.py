"""Edits of a few heads or neurons, made on the sum of what all of them write.

Attention writes the sum of what its heads write, the MLP that of its neurons. Where some of them
are edited, the sum changes by what their own rows of W_O or W_out make of the change: the rest
of the map, and for neurons the whole MLP, is not computed again.
"""

from collections.abc import Sequence
from typing import Final

from jaxtyping import Bool, Float
from torch import Tensor

from ..hooks import Hook, Hooked, PartWrites, require_inside, sites_of
from ..pairs import Pairs
from ..sites import Site


WRITES: Final = {"z": "attn_out", "mlp_pre": "mlp_out", "mlp_post": "mlp_out"}
PART: Final = 2  # the axis of heads in `z`, of neurons in the others


def sum_written(model: Hooked, cell: Sequence[Hook]) -> Site | None:
    """The site of the sum that this cell's edits change; None where it has to be computed whole.

    That is so where an edit is of anything but numbered heads (`z`) or neurons (`mlp_pre` or
    `mlp_post`) of one layer, and where they do not add up.
    """
    (site, *others) = sites_of(cell)
    if others or site.name not in WRITES or model.part_writes(site) is None:
        return None
    numbered = all(isinstance(hook.unit.index[PART], int) for hook in cell)
    return Site(WRITES[site.name], site.layer) if numbered else None


def with_parts_edited(
    writes: PartWrites,
    cell: Sequence[Hook],
    pairs: Pairs,
    before: Float[Tensor, "pair pos part ..."],
    written: Float[Tensor, "pair pos d_model"],
) -> tuple[Float[Tensor, "pair pos d_model"], Bool[Tensor, "pair pos"]]:
    """What is written once the heads or neurons of a cell are edited, and where they changed.

    `before` is what all of them carried, `written` what they wrote together.

    Raises:
        LookupError: a head or neuron is outside the model.
        ValueError: an edit gave a tensor of another shape.
    """
    number: list[int] = []  # of the head or neuron that each hook edits
    for hook in cell:
        require_inside(hook.unit, before)
        at = hook.unit.index[PART]
        assert isinstance(at, int)
        number.append(at % before.shape[PART])
    numbers = sorted(set(number))
    old = before[:, :, numbers]
    new = old.clone()
    for hook, own in zip(cell, number, strict=True):
        place = hook.unit.index
        there = (*place[:PART], numbers.index(own), *place[PART + 1 :])
        new[there] = hook.changed(new[there], pairs)
    change = (writes.act(new) - writes.act(old)).flatten(PART)
    change = change @ writes.W[numbers].flatten(end_dim=-2)
    return written + change, (new != old).flatten(PART).any(dim=PART)
