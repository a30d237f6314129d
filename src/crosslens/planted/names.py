"""What to plant, and the name that says it: `planted:bm25?seed=3&layers=6`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Final

from ..signals.bm25 import bm25
from ..signals.frequency import Frequencies


PREFIX: Final = "planted:"


@dataclass(frozen=True)
class Recipe:
    """A planted BM25 model: its size, its parts, and its parameters.

    In a name, options follow `?` and are joined by `&`; synonyms are written
    `synonyms=car+automobile,doctor+physician`, flags `backup` or `backup=1`.

    Raises:
        ValueError: an option is out of its range, or synonyms are not clusters of different words.
    """

    seed: int = 0  # of the places of all parts and of the identity codes
    layers: int = 4
    heads: int = 4  # per layer
    neurons: int = 16  # per layer
    decoys: int = 2  # heads that attend to matches and write nothing
    fakes: int = 2  # neurons that fire and are not read
    backup: bool = False  # a second matching head that speaks where the first is silent
    contextual: bool = False  # a head that tells every query token what the others matched
    matchers: int = 1  # heads that share the matching
    suppressor: bool = False  # a head that takes back what the matching heads say too much
    talkers: int = 0  # decoy heads that attend to matches and write where nobody reads
    busy: bool = False  # all that is left computes something that nobody reads
    synonyms: tuple[tuple[str, ...], ...] = ()  # words that share an identity code
    normalised: bool = False  # the score is divided by the total IDF of the query
    k1: float = 1.2
    b: float = 0.75

    def __post_init__(self) -> None:
        check_least(self, LEAST)
        if not self.k1 > 0:
            raise ValueError(f"k1={self.k1}; a planted k1 is above 0: the head takes its logarithm")
        if not 0 <= self.b < 1:
            raise ValueError(f"b={self.b}; a planted b is at least 0 and below 1")
        check_synonyms(self.synonyms)

    def __str__(self) -> str:
        return PREFIX + KIND + options_of(self)

    @classmethod
    def named(cls, name: str) -> "Recipe":
        """The recipe with this name: "planted:bm25?seed=3", or without the prefix.

        Raises:
            ValueError: a name, an option or a value that is not known; near ones are named.
        """
        return cls(**options_in(name, KIND, cls))

    def score(
        self, query: Sequence[str], document: Sequence[str], frequencies: Frequencies
    ) -> float:
        """The score of a pair of terms by `signals.bm25`, as the planted model computes it."""
        longer = [*document, *[""] * len(query)]  # they match nothing: |d| counts the query as well
        score = bm25(query, longer, frequencies, k1=self.k1, b=self.b)
        return score / sum(map(frequencies.idf, query)) if self.normalised else score


KIND: Final = "bm25"
LEAST: Final = {
    **{"seed": 0, "layers": 3, "heads": 1, "neurons": 1},
    **{"decoys": 0, "fakes": 0, "matchers": 1, "talkers": 0},
}


def check_least(recipe: Any, least: Mapping[str, int]) -> None:
    """Refuse an option below its least value."""
    for name, smallest in least.items():
        if getattr(recipe, name) < smallest:
            raise ValueError(f"{name}={getattr(recipe, name)}; it is at least {smallest}")


def check_synonyms(synonyms: Iterable[Sequence[str]]) -> None:
    """Refuse what are not clusters of different words."""
    words = [word for cluster in synonyms for word in cluster]
    twice = sorted({word for word in words if words.count(word) > 1})
    if twice or any(len(cluster) < 2 for cluster in synonyms):
        raise ValueError(
            "synonyms are clusters of two or more words, each word in one of them; "
            f"found {synonyms}" + (f" with {twice} twice" if twice else "")
        )


def kind_of(name: str) -> str:
    """What stands before the options: "bm25" in "planted:bm25?seed=3"."""
    return name.removeprefix(PREFIX).partition("?")[0]


def options_of(recipe: Any) -> str:
    """The options that a recipe changes, as its name has them: "?seed=3&layers=6"."""
    changed = [f for f in fields(recipe) if getattr(recipe, f.name) != f.default]
    written = "&".join(f"{f.name}={write(getattr(recipe, f.name))}" for f in changed)
    return f"?{written}" if written else ""


def options_in(name: str, kind: str, recipe: Any) -> dict[str, Any]:
    """The options that a name of this kind gives to a class of recipes.

    Raises:
        ValueError: a name, an option or a value that is not known; near ones are named.
    """
    if kind_of(name) != kind:
        raise ValueError(f"no planted model is called {name!r}; there is {PREFIX}{kind}")
    known = {field.name: field.default for field in fields(recipe)}
    options: dict[str, Any] = {}
    for option in filter(None, name.partition("?")[2].split("&")):
        key, _, value = option.partition("=")
        if key not in known:
            close = get_close_matches(key, known, n=3) or list(known)
            raise ValueError(f"{name!r}: no option {key!r}; did you mean {', '.join(close)}?")
        if key in options:
            raise ValueError(f"{name!r} gives {key!r} twice")
        options[key] = read(key, value, known[key])
    return options


def write(value: Any) -> str:
    """An option's value as a name has it."""
    if isinstance(value, tuple):
        return ",".join("+".join(cluster) for cluster in value)
    return str(int(value)) if isinstance(value, bool) else str(value)


def read(key: str, written: str, default: Any) -> Any:
    """The value of an option, of its default's type."""
    if isinstance(default, tuple):
        return tuple(tuple(cluster.split("+")) for cluster in written.split(","))
    if isinstance(default, bool):
        flags = {"": True, "1": True, "true": True, "0": False, "false": False}
        if written.lower() not in flags:
            raise ValueError(f"{key}={written!r}; it is 1 or 0")
        return flags[written.lower()]
    try:
        return type(default)(written)
    except ValueError as error:
        raise ValueError(f"{key}={written!r}; it is a number, as in {key}={default}") from error
