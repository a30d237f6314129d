"""From tensors to arrays: numpy knows no bfloat16."""

import numpy as np
import torch
from torch import Tensor


def array(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor, detached, in main memory; at least float32 if they are floats."""
    if tensor.is_floating_point():
        tensor = tensor.to(torch.promote_types(tensor.dtype, torch.float32))
    return tensor.numpy(force=True)
