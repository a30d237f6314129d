"""A device without memory for more than some rows at once, without a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager, ExitStack
from typing import Any
from unittest.mock import patch

import torch

from crosslens import CrossEncoder


WHY = "DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"


@contextmanager
def small_device(
    rows: int, error: type[RuntimeError] = torch.OutOfMemoryError
) -> Iterator[list[int]]:
    """Every pass of more than `rows` rows ends in `error`, in the block; the rows of every pass.

    A pass that fails has run: what it recorded or drew is there, and must count nowhere.
    """
    sizes: list[int] = []
    with ExitStack() as stack:
        for name in ("forward", "suffix", "replay"):
            whole = getattr(CrossEncoder, name)

            def run(model: Any, pairs: Any, *args: Any, whole: Any = whole) -> Any:
                sizes.append(len(pairs))
                found = whole(model, pairs, *args)
                if len(pairs) > rows:
                    raise error(WHY)
                return found

            stack.enter_context(patch.object(CrossEncoder, name, run))
        yield sizes
