"""One tensor of all pairs, computed some pairs at a time."""

from collections.abc import Callable

import torch
from jaxtyping import Shaped
from torch import Tensor

from ..hooks import Hooked
from ..pairs import Pairs
from ..sites import PLACES
from .batch_size import BatchSize
from .batches import by_like_length


@torch.no_grad()
def in_batches(
    model: Hooked,
    pairs: Pairs,
    axes: str,
    run: Callable[[Pairs, list[int]], Shaped[Tensor, "..."]],
) -> Shaped[Tensor, "..."]:
    """What `run` makes of all pairs, in their own order: a tensor of `axes`, as in "head pair pos".

    `run` is given some pairs and which of all they are. It leaves nothing behind but what it
    returns, which has these axes too, "pair" among them; positions that a batch does not have
    are 0. Pairs of like length run together, as many as the device likes, and fewer where memory
    runs out. While a caller's hooks are attached, which may hold a value for each pair, all pairs
    run together if memory allows.

    Raises:
        DoesNotFit: there is no memory for one pair.
    """
    names, width = axes.split(), pairs.token.shape[1]
    lengths = {"pair": len(pairs), **dict.fromkeys(PLACES, width)}
    if model.is_hooked:
        size = BatchSize(max(1, len(pairs)), tokens=width)
        parts = size.batches(
            lambda rows: run(pairs.take(rows, width=width), list(rows)), range(len(pairs))
        )
    else:
        parts = by_like_length(lambda rows, to: run(pairs.take(rows, width=to), rows), pairs)
    whole: Tensor | None = None
    for rows, part in parts:
        sizes = dict(zip(names, part.shape, strict=True))
        if whole is None:
            whole = part.new_zeros([lengths.get(name, n) for name, n in sizes.items()])
        chosen = [list(rows) if name == "pair" else slice(n) for name, n in sizes.items()]
        whole[tuple(chosen)] = part
    return run(pairs, []) if whole is None else whole
