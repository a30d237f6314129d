"""Units, tokens and their names: the shortest text that names a unit, and back.

2.9                        head 9 of layer 2, at z
3.mlp, 4.attn              what an MLP, or attention, adds
3.z[head=7,pos=query]      any unit as it prints
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

from ..hooks import Hooked
from ..pairs import SEGMENTS
from ..sites import head, KINDS, near, OR, Site, Unit


SHORT: Final = {"mlp": "mlp_out", "attn": "attn_out"}
LONG: Final = {name: short for short, name in SHORT.items()}
TOKENS: Final = tuple(name for name in SEGMENTS if name != "pad")
ALL: Final = "all"


def tokens(given: str) -> str:
    """The names of tokens, which are segments, or all.

    Raises:
        LookupError: a name that no token has.
    """
    names = given.split(OR)
    for name in names:
        if name not in TOKENS and given != ALL:
            raise LookupError(f"no tokens are called {name!r}; {near(name, (*TOKENS, ALL))}")
    return OR.join(dict.fromkeys(names))


def unit(text: str) -> Unit:
    """The unit that a text names: `2.9`, `3.mlp`, `3.z[head=7,pos=query]`.

    Raises:
        ValueError: it is not written so, or an axis that the site lacks.
        LookupError: no site or no tokens have that name; near ones are named.
    """
    if found := re.fullmatch(r"(\d+)\.(\d+)", text):
        return head(int(found[1]), int(found[2]))
    found = re.fullmatch(r"(?:(\d+)\.)?(\w+)(?:\[(.+)\])?", text)
    if found is None:
        raise ValueError(f"{text!r} is no unit; units are 2.9, 3.mlp or 3.z[head=7,pos=query]")
    name = SHORT.get(found[2], found[2])
    if name not in KINDS:
        raise LookupError(f"no site is called {found[2]!r}; {near(found[2], (*SHORT, *KINDS))}")
    site = Site(name, int(found[1]) if found[1] else None)
    _ = site.hook  # says whether a layer is missing
    at: dict[str, int | str] = {}
    for part in found[3].split(",") if found[3] else ():
        axis, equals, value = part.partition("=")
        if not equals or axis in at:
            raise ValueError(f"{part!r} of {text!r}: expected each axis once, as in head=7")
        at[axis] = int(value) if re.fullmatch(r"-?\d+", value) else tokens(value)
    if ALL in at.values():
        raise ValueError(f"{text!r}: all tokens are meant where an axis is not named")
    return site.at(**at)


def written(unit: Unit) -> str:
    """The shortest text that `unit` reads as this unit."""
    at = dict(unit.coordinates)
    if unit.site.name == "z" and list(at) == ["head"] and int(at["head"]) >= 0:
        return f"{unit.site.layer}.{at['head']}"
    short = LONG.get(unit.site.name)
    return str(unit) if short is None else str(unit).replace(f".{unit.site.name}", f".{short}", 1)


def listed(units: Iterable[Unit]) -> str:
    return " ".join(map(written, units))


def layer_of(unit: Unit) -> int:
    return -1 if unit.site.layer is None else unit.site.layer


def index_of(unit: Unit) -> int:
    """Which head of its layer it is; -1 of what is no head."""
    return int(dict(unit.coordinates).get("head", -1))


Units = TypeVar("Units", bound=Sequence[Unit])


def checked(units: Units, model: Hooked) -> Units:
    """The units, all of which the model has.

    Raises:
        LookupError: one that it lacks.
    """
    there = set(model.sites())
    n_layers = len(model.block_outputs())
    for each in units:
        if each.site not in there:
            if each.site.layer is not None and each.site.layer >= n_layers:
                raise LookupError(
                    f"{written(each)} is outside the model, which has layers 0 to {n_layers - 1}"
                )
            known = dict.fromkeys(site.name for site in model.sites())
            raise LookupError(f"the model has no {each.site.name!r}; its sites are {[*known]}")
        for axis, i in each.coordinates:
            size = model.sizes.get(axis)
            if isinstance(i, int) and size is not None and not -size <= i < size:
                raise LookupError(f"{written(each)} is outside the model: {axis} has {size}")
    return units
