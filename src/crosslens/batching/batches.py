"""Batches of pairs of like length, so that little of a batch is padding."""

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..pairs import Pairs
from .batch_size import BatchSize


# A processor works best on batches that stay in its caches; measured on two AVX2 cores.
TOKENS_PER_BATCH: Final = {"cpu": 1_500, "cuda": 60_000}

Found = TypeVar("Found")


@torch.no_grad()
def scores_of(
    model: Callable[[Pairs], Float[Tensor, " pair"]], pairs: Pairs
) -> Float[Tensor, " pair"]:
    """The score of each pair, in their own order; `model` is anything that scores pairs."""
    found = [*by_like_length(lambda rows, _: model(pairs.take(rows)), pairs)]
    parts = torch.cat([scores for _, scores in found])
    scores = torch.empty_like(parts)
    scores[[row for rows, _ in found for row in rows]] = parts
    return scores


def by_like_length(
    run: Callable[[list[int], int], Found], pairs: Pairs
) -> Iterator[tuple[list[int], Found]]:
    """`run` of all pairs in batches of like length, as many at once as the device likes.

    `run` is given the indices of a batch and the tokens that the longest of its group has. Where
    memory runs out, batches are halved, those of longer pairs too.

    Raises:
        DoesNotFit: there is no memory for one pair.
    """
    halvings = 0
    for width, members in pairs.like_lengths():
        size = BatchSize(max(1, liked(width, pairs.device.type) >> halvings), tokens=width)
        for rows, found in size.batches(lambda rows, w=width: run(list(rows), w), members):
            yield list(rows), found
        halvings += size.halvings


def by_length(
    run: Callable[[list[int]], Found], pairs: Pairs, at_once: int
) -> Iterator[tuple[list[int], Found]]:
    """`run` of the indices of all pairs, shortest first, `at_once` at a time, or fewer.

    Where memory runs out, batches are halved.

    Raises:
        ValueError: `at_once` is below 1.
        DoesNotFit: there is no memory for one pair.
    """
    require_one(at_once)
    size = BatchSize(at_once, tokens=pairs.token.shape[1])
    order: list[int] = pairs.lengths.argsort(stable=True).tolist()
    for rows, found in size.batches(lambda rows: run(list(rows)), order):
        yield list(rows), found


def liked(width: int, device: str) -> int:
    """How many rows of so many tokens the device likes in a batch: one at least."""
    return max(1, TOKENS_PER_BATCH.get(device, 60_000) // width)


def batches_by_length(pairs: Pairs, at_once: int) -> list[list[int]]:
    """The indices of `pairs`, shortest first, in batches of `at_once`.

    Raises:
        ValueError: `at_once` is below 1.
    """
    require_one(at_once)
    return [rows.tolist() for rows in pairs.lengths.argsort(stable=True).split(at_once)]


def require_one(at_once: int, name: str = "at_once") -> None:
    """Refuse a batch without pairs; `name` is what the caller's argument is called.

    Raises:
        ValueError: `at_once` is below 1.
    """
    if at_once < 1:
        raise ValueError(f"{name}={at_once}: take one pair at least")
