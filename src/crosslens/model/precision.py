"""The numbers that weights are read as, and the same weights in float32 arithmetic."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import nn, Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map


PRECISIONS: Final[dict[str, torch.dtype]] = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
}
HALVES: Final = (torch.bfloat16, torch.float16)


def precision(wished: str | torch.dtype) -> torch.dtype:
    """The precision that a user means by a dtype or its name.

    Raises:
        ValueError: it is none in which weights can be read.
    """
    found = PRECISIONS.get(wished, wished) if isinstance(wished, str) else wished
    if not isinstance(found, torch.dtype) or found not in PRECISIONS.values():
        raise ValueError(
            f"dtype={wished!r}: weights are read as float32, bfloat16 (bf16) or float16 (fp16)"
        )
    return found


def check_read(name: str, model: nn.Module, wished: torch.dtype) -> None:
    """Refuse files of which transformers reads a part in another precision than the others.

    Raises:
        ValueError: it does, as with T5 in float16.
    """
    others = [part for part, weight in model.named_parameters() if weight.dtype != wished]
    if others:
        raise ValueError(
            f"dtype={wished}: transformers keeps {others[0]} and {len(others) - 1} more weights of "
            f"{name} in float32, where float16 overflows; give dtype='bfloat16' or 'float32'"
        )


def check_own(name: str, modules: Sequence[nn.Module], wished: torch.dtype) -> None:
    """Refuse a model in memory of another precision than wished: it stays as it is.

    Raises:
        ValueError: so it is.
    """
    found = {weight.dtype for module in modules for weight in module.parameters()}
    if found != {wished}:
        there = " and ".join(sorted(map(str, found)))
        raise ValueError(
            f"dtype={wished}: {name} is in memory with weights of {there}, and load neither copies "
            f"nor changes a model of yours; give model.to({wished}), or leave dtype= out"
        )


class InFloat32(TorchFunctionMode):
    """Within this block, what is computed of 16-bit numbers is computed in float32.

    The weights stay as they are: each is widened while a function reads it, and embeddings row by
    row. Two computations of the same function then differ by what float32 rounds alone.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if func is F.embedding or name == "__get__":  # a table's rows; an attribute, as its dtype
            return tree_map(widened, func(*args, **kwargs))
        if name == "__setitem__" or (name.endswith("_") and not name.endswith("__")):
            return func(*args, **kwargs)  # in place: a widened copy would lose what is written
        wide: Any = tree_map(widened, (tuple(args), dict(kwargs)))
        return func(*wide[0], **wide[1])


def widened(value: Any) -> Any:
    """A tensor of 16-bit numbers, or their dtype, in float32; anything else as it is."""
    if isinstance(value, Tensor):
        return value.float() if value.dtype in HALVES else value
    return torch.float32 if isinstance(value, torch.dtype) and value in HALVES else value
