"""Results as tables of one row per pair: never only a mean."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from .arrays import array


def by_pair(
    names: Mapping[str, Sequence[Any] | np.ndarray],
    **values: Float[Tensor, "row pair"] | Float[Tensor, " pair"],
) -> pd.DataFrame:
    """One row for each row of `names` and each pair: the columns of both.

    A value without rows is the pair's own, the same in every row.
    """
    n_rows = max(len(of) for of in names.values())
    n_pairs = max(value.shape[-1] for value in values.values())
    return pd.DataFrame(
        {
            **{name: np.repeat(np.asarray(of), n_pairs) for name, of in names.items()},
            "pair": np.tile(np.arange(n_pairs), n_rows),
            **{name: array(each.expand(n_rows, -1).flatten()) for name, each in values.items()},
        }
    )
