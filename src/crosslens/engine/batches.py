"""Batches of pairs of like length, so that little of a batch is padding."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..pairs import Pairs


# A processor works best on batches that stay in its caches; measured on two AVX2 cores.
TOKENS_PER_BATCH: Final = {"cpu": 1_500, "cuda": 60_000}

Item = TypeVar("Item")


@torch.no_grad()
def scores_of(
    model: Callable[[Pairs], Float[Tensor, " pair"]], pairs: Pairs
) -> Float[Tensor, " pair"]:
    """The score of each pair, in their own order; `model` is anything that scores pairs."""
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
    n = liked(width, device)
    for start in range(0, len(items), n):
        yield items[start : start + n]


def liked(width: int, device: str) -> int:
    """How many rows of so many tokens the device likes in a batch: one at least."""
    return max(1, TOKENS_PER_BATCH.get(device, 60_000) // width)


def batches_by_length(pairs: Pairs, at_once: int) -> list[list[int]]:
    """The indices of `pairs`, shortest first, in batches of `at_once`.

    Raises:
        ValueError: `at_once` is below 1.
    """
    require_one(at_once)
    return [rows.tolist() for rows in pairs.lengths.argsort().split(at_once)]


def require_one(at_once: int) -> None:
    """Refuse a batch without pairs.

    Raises:
        ValueError: `at_once` is below 1.
    """
    if at_once < 1:
        raise ValueError(f"at_once={at_once}: take one pair at least")
