"""How many neurons two or more schemes share, beside how many random sets of their sizes share."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import hypergeom

from .schemes import intersection, Scheme


class Overlap(NamedTuple):
    """How many neurons schemes share: as a number, and as a share of the smallest scheme.

    `p` is the chance that two random sets of such sizes share as many or more; none for three.
    """

    common: int
    share: float
    expected: float  # by chance, as a number of neurons
    chance: float  # by chance, as a share of the smallest scheme
    p: float | None


def overlap(schemes: Sequence[Scheme]) -> Overlap:
    """What all of `schemes` share.

    By chance, sets of n_1, ..., n_k of N neurons share N (n_1 / N) ... (n_k / N) in the mean: for
    two, the mean of the hypergeometric distribution.

    Raises:
        ValueError: there is no scheme, or they are of models of different sizes.
    """
    common = len(intersection("common", schemes))
    total, sizes = len(schemes[0].neurons), [len(each) for each in schemes]
    least = min(sizes)
    expected = float(total * np.prod([size / total for size in sizes]))
    p = float(hypergeom.sf(common - 1, total, *sizes)) if len(schemes) == 2 else None
    share, chance = (each / least if least else 0.0 for each in (common, expected))
    return Overlap(common, share, expected, chance, p)
