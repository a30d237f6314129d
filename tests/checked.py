"""Annotations of shapes are checked in all tests, but for functions made within functions.

jaxtyping's import hook wraps every function as it is defined, and one within another is defined
anew at each call: two compilations each, thirty times what some tests take without. The function
around it is checked.
"""

from collections.abc import Callable
from typing import Any

import jaxtyping


WRAP = jaxtyping.jaxtyped


def wrap(made: Any = None, /, **given: Any) -> Any:
    """`jaxtyping.jaxtyped`, which leaves functions made within functions as they are."""
    if made is None:
        return lambda later: wrap(later, **given)
    if isinstance(made, Callable) and "<locals>" in getattr(made, "__qualname__", ""):
        return made
    return WRAP(made, **given)


jaxtyping.jaxtyped = wrap  # what the import hook looks up each time
