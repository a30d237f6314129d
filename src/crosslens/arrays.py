"""Numbers of 16 bit in float32: numpy knows no bfloat16, and sums of halves lose too much."""

import numpy as np
import torch
from torch import Tensor


def array(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor, detached, in main memory; at least float32 if they are floats."""
    if tensor.is_floating_point():
        tensor = at_least_float32(tensor)
    return tensor.numpy(force=True)


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor in float32 if its numbers are of 16 bit, else as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
