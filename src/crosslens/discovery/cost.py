"""What a method costs, counted: its arithmetic as so many forward passes over the pairs.

Seconds depend on the machine and its other work; products of matrices do not. The floor is one
pass over the base pairs without hooks, so that what a method saves (it starts late, it leaves
out what nobody asked for) and what it adds (backward passes, patterns looked at) both count.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from ..batching.batches import by_length
from ..contrasts.contrast import Contrast
from ..hooks import Hooked


Shape = tuple[int, ...]


def fused(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def fused_back(out: Shape, query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(out, query, key, value)


# torch counts fused attention on a GPU, not on a processor
ON_A_PROCESSOR: Final[Mapping[Any, Callable[..., int]]] = MappingProxyType(
    {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: fused,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: fused_back,
    }
)


def operations(run: Callable[[], object]) -> int:
    """How many floating-point operations the matrix products of `run` take."""
    with FlopCounterMode(display=False, custom_mapping=dict(ON_A_PROCESSOR)) as counted:
        run()
    return counted.get_total_flops()


@torch.no_grad()
def forward_passes(run: Callable[[], object], model: Hooked, contrast: Contrast) -> float:
    """The operations of `run`, as so many forward passes over the base pairs of `contrast`."""
    base = contrast.base

    def of_some(rows: list[int]) -> int:
        some = base.take(rows, width=base.token.shape[1])
        return operations(lambda: model(some))

    floor = sum(found for _, found in by_length(of_some, base, len(base)))
    return operations(run) / floor
