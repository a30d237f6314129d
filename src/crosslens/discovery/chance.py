"""The control of every discovery: any order at all."""

from collections.abc import Sequence
from zlib import crc32

import torch
from jaxtyping import Float
from torch import Tensor

from ..contrasts.contrast import Contrast
from ..hooks import Hooked


def at_random(model: Hooked, contrast: Contrast, parts: Sequence[object]) -> Float[Tensor, " part"]:
    """A random number for each part, the same for the same texts and parts."""
    named = " ".join([*map(str, parts), *(each.more for each in contrast.minimal)])
    generator = torch.Generator().manual_seed(crc32(named.encode()))
    return torch.rand(len(parts), generator=generator)
