"""Data frames, as the type checker should see them: not at all.

pandas' own annotations allow every column to be anything that a column can be, so that every
line that computes with one would be an error. At run time the names are what they say.
"""

from typing import Any, TYPE_CHECKING

import pandas


if TYPE_CHECKING:
    Frame = Any
    Column = Any
else:
    Frame = pandas.DataFrame
    Column = pandas.Series

pd: Any = pandas
