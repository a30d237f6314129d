"""What became of an input: read, refused, or a fault that is to be mended."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from crosslens.cli.gate import is_users


Found = TypeVar("Found")
REFUSALS = (ValueError, TypeError, FileNotFoundError, LookupError)


class Fault(AssertionError):
    """An input was neither read nor refused as it should be."""


@dataclass
class Outcomes:
    """How many inputs were read and refused."""

    counts: Counter[str] = field(default_factory=Counter)

    @property
    def inputs(self) -> int:
        return self.counts.total()

    def of(self, read: Callable[[], Found], *named: str) -> Found | None:
        """What was read; None where it was refused by an error of ours that has one of `named`.

        Raises:
            Fault: any other error, or a refusal that names nothing.
        """
        try:
            found = read()
        except Exception as error:
            if not (isinstance(error, REFUSALS) and is_users(error)):
                raise Fault(f"{type(error).__name__}: {error}") from error
            if named and not any(name in str(error) for name in named):
                raise Fault(f"the refusal names none of {named}: {error}") from error
            self.counts["refused"] += 1
            return None
        self.counts["read"] += 1
        return found


def require(is_so: bool, what: str) -> None:
    """A property of what was read.

    Raises:
        Fault: it does not hold.
    """
    if not is_so:
        raise Fault(what)
