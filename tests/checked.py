"""Annotations are checked in all tests, at a price that does not double their time.

jaxtyping's import hook compiles two checks of every function as it is defined, and at each call
binds the arguments and checks them twice. Here a check is compiled at the first call, the first
calls of a function in every test are checked once each, and sizes of axes are compared where an
annotation has any. A function made within another function is left as it is: it would be compiled
anew at each call of the one around it, which is checked.
"""

from collections.abc import Callable
from dataclasses import is_dataclass
from functools import cache, wraps
from typing import Any, ForwardRef, get_args, get_origin, Literal

import jaxtyping


WRAP = jaxtyping.jaxtyped
CHECKED = 3  # calls of a function in one test; a loop repeats the same shapes from then on


def wrap(made: Any = None, /, *, typechecker: Callable[[Any], Any]) -> Any:
    """What stands in for `jaxtyping.jaxtyped` in the code under test."""
    if made is None:
        return lambda later: wrap(later, typechecker=typechecker)
    if isinstance(made, type):
        if is_dataclass(made) and "__init__" in vars(made):
            made.__init__ = wrap(made.__init__, typechecker=typechecker)
        return made
    if not callable(made) or "<locals>" in made.__qualname__:
        return made
    hints = getattr(made, "__annotations__", {}).values()
    if any(map(is_forward, hints)):  # a name that is there for type checkers alone
        return WRAP(made, typechecker=typechecker)
    compiled = cache(lambda: typechecker(made))
    calls = Calls()

    if not any(map(names_array, hints)):

        @wraps(made)
        def checked(*args: Any, **kwargs: Any) -> Any:
            function = compiled() if calls.next_is_checked() else made
            return function(*args, **kwargs)

        return checked

    @wraps(made)
    def checked_with_sizes(*args: Any, **kwargs: Any) -> Any:
        if not calls.next_is_checked():
            return made(*args, **kwargs)
        with WRAP("context"):
            return compiled()(*args, **kwargs)

    return checked_with_sizes


class Calls:
    """How often a function was called in the test that runs."""

    test = 0  # the number of the test that runs; conftest.py counts

    def __init__(self) -> None:
        self.of_test, self.n = 0, 0

    def next_is_checked(self) -> bool:
        if self.of_test != Calls.test:
            self.of_test, self.n = Calls.test, 0
        self.n += 1
        return self.n <= CHECKED and not jaxtyping.config.jaxtyping_disable


def is_forward(hint: Any) -> bool:
    """Whether an annotation is a text, or holds one, that nobody has read yet."""
    is_text = isinstance(hint, str | ForwardRef)
    return is_text or get_origin(hint) is not Literal and any(map(is_forward, get_args(hint)))


def names_array(hint: Any) -> bool:
    """Whether an annotation holds one of an array."""
    is_array = isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray)
    return is_array or any(map(names_array, get_args(hint)))


jaxtyping.jaxtyped = wrap  # what the import hook looks up each time
