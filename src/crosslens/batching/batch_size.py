"""How many items are one batch: fewer, once memory has run out.

A batch that does not fit is halved and run again; what is finished stays. So `run` must leave
nothing behind but what it returns: a batch that failed is as if it had never begun. Scores of a
halved batch are those of the whole but for the rounding of another batch size.
"""

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Final, TypeVar

import torch


LOG: Final = logging.getLogger(__name__)

Item = TypeVar("Item")
Found = TypeVar("Found")

# What a processor's allocator says, in an error of no class of its own.
OF_THE_PROCESSOR: Final = "DefaultCPUAllocator"


class DoesNotFit(torch.OutOfMemoryError):
    """Not even a single row fits."""


class BatchSize:
    """How many items are one batch; `halvings` counts how often that was too many."""

    def __init__(self, items: int, *, tokens: int | None = None, item: str = "item") -> None:
        """`tokens` is how long a row is, or `item` what one is, for the error if none fits."""
        self.items, self.halvings = items, 0
        self.item = item if tokens is None else f"pair of {tokens} tokens"

    def batches(
        self, run: Callable[[Sequence[Item]], Found], items: Sequence[Item]
    ) -> Iterator[tuple[Sequence[Item], Found]]:
        """`run` of all items, a batch at a time, in their order.

        Raises:
            DoesNotFit: a single item does not fit; says how long it is, and what to do.
        """
        done = 0
        while done < len(items):
            batch = items[done : done + self.items]
            found: list[Found] = []
            reason, is_final = "", False
            try:
                found.append(run(batch))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                reason, is_final = str(error), isinstance(error, DoesNotFit)
            if found:
                yield batch, found[0]
                done += len(batch)
                continue
            # outside of `except`, whose traceback holds the batch's tensors
            gc.collect(1)  # young cycles alone: of all objects it takes half a second
            torch.cuda.empty_cache()
            if len(batch) == 1:
                raise DoesNotFit(reason if is_final else self._refusal(reason))
            self.items, self.halvings = len(batch) // 2, self.halvings + 1
            note_once(len(batch), self.items)

    def _refusal(self, reason: str) -> str:
        """What to do when not even one item fits."""
        first = (reason.splitlines() or ["out of memory"])[0][:300]
        return (
            f"one {self.item} does not fit into memory ({first}): take shorter pairs, as load(..., "
            "max_length=) makes them, or a device with more memory"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device had no memory left; a budget that is too small is another error."""
    return isinstance(error, torch.OutOfMemoryError) or OF_THE_PROCESSOR in str(error)


@cache
def note_once(before: int, after: int) -> None:
    """A line in the log, once for each size."""
    LOG.warning(
        "out of memory: a batch of %d is run again as batches of %d; what is computed is the same "
        "but for rounding",
        before,
        after,
    )
