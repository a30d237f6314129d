"""Plain scores of many pairs, those of like length together."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from ...engine.memory import TOKENS_PER_BATCH
from ...hooks import Hooked
from ...pairs import Pairs


Item = TypeVar("Item")


@torch.no_grad()
def scores_of(model: Hooked, pairs: Pairs) -> Float[Tensor, " pair"]:
    """The score of each pair, in their own order."""
    groups = [
        part
        for width, rows in pairs.like_lengths()
        for part in batches(rows, width, pairs.device.type)
    ]
    found = torch.cat([model(pairs.take(rows)) for rows in groups])
    scores = torch.empty_like(found)
    scores[[row for rows in groups for row in rows]] = found
    return scores


def batches(items: Sequence[Item], width: int, device: str) -> Iterator[Sequence[Item]]:
    """`items` of so many tokens each, as many at once as the device likes."""
    n = max(1, TOKENS_PER_BATCH.get(device, 60_000) // width)
    for start in range(0, len(items), n):
        yield items[start : start + n]
