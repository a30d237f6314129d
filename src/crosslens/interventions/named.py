"""Interventions by name: a line of text becomes a value that prints as it is written.

    ablate 2.9 1.1                          heads 9 of layer 2 and 1 of layer 1 carry 0
    ablate 3.mlp 4.attn[pos=query] to 0.5   what an MLP, or attention, adds is 0.5 everywhere
    noise 3.resid_post keep 0.5 std 0.2     half of the stream is Gaussian noise
    mask document->query from layer 3       query tokens do not read the document (`token_mask`)
    drop query|cls->document in 2.9 3.1     these heads drop it (`attention_mask`)
    scale idf of 'canoe' by 3               along the IDF direction of the embeddings
    set idf of 'canoe' 'kayak' to 9.5       as a token of that IDF has it on average
    scale embedding of 'canoe' by 0 in document

An arrow goes from the tokens that are read to those that read, as information goes. Tokens are
cls, query, sep1, document, sep2, several joined by "|", or all. Layers are all layers, or `from
layer 3`, `to layer 5`, `from layer 3 to layer 5`, `in layer 3`, or `in` some heads. Units are
`2.9` (layer.head), `3.mlp`, `3.attn`, or any unit as it prints: `3.z[head=7,pos=query]`.
"""

import ast
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol, runtime_checkable, TypeVar

import torch
import yaml

from ..hooks import Hook, Hooked
from ..pairs import SEGMENTS
from ..signals.frequency import tokenize
from ..sites import head, KINDS, near, OR, Site, Unit
from .ablate import ablate
from .edit import scale_rows
from .mask import attention_mask, token_mask
from .noise import noise
from .word_edits import edit_words


FORMS: Final = {
    "ablate": "ablate UNIT ... [to NUMBER]",
    "noise": "noise UNIT ... keep SHARE [mean NUMBER] [std NUMBER] [seed NUMBER]",
    "mask": "mask TOKENS->TOKENS [from layer N] [to layer N] [in layer N] [in HEAD ...]",
    "drop": "drop TOKENS->TOKENS [from layer N] [to layer N] [in layer N] [in HEAD ...]",
    "scale": "scale idf|embedding of 'WORD' ... by NUMBER [in TOKENS]",
    "set": "set idf of 'WORD' ... to NUMBER [in TOKENS]",
}
SHORT: Final = {"mlp": "mlp_out", "attn": "attn_out"}
LONG: Final = {name: short for short, name in SHORT.items()}
TOKENS: Final = tuple(name for name in SEGMENTS if name != "pad")
ALL: Final = "all"
ARROW: Final = "->"
LEXEME: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\S+""")


@runtime_checkable
class Direction(Protocol):
    """Where an embedding matrix holds IDF: `crosslens.idf.IdfDirection`."""

    def scaled(self, token: Sequence[int], factor: float, *, pos: None = None) -> Hook: ...

    def to(self, token: Sequence[int], target: float, *, pos: None = None) -> Hook: ...


def no_direction() -> Direction:
    """Stands where a model's IDF direction was not given.

    Raises:
        ValueError: always.
    """
    raise ValueError("an edit of IDF needs the model's IDF direction: hooks(model, direction)")


@dataclass(frozen=True)
class Ablate:
    """The units carry `value`."""

    units: tuple[Unit, ...]
    value: float = 0.0

    def hooks(self, model: Hooked, idf: Callable[[], Direction] = no_direction) -> tuple[Hook, ...]:
        """One hook for each unit."""
        return tuple(ablate(unit, self.value) for unit in checked(self.units, model))

    def __str__(self) -> str:
        to = f" to {number(self.value)}" if self.value else ""
        return f"ablate {listed(self.units)}{to}"


@dataclass(frozen=True)
class Noise:
    """A share `keep` of the units passes, noise of this mean and deviation takes the rest."""

    units: tuple[Unit, ...]
    keep: float
    mean: float = 0.0
    std: float = 1.0
    seed: int = 0

    def hooks(self, model: Hooked, idf: Callable[[], Direction] = no_direction) -> tuple[Hook, ...]:
        """One hook for each unit; all draw from one generator, begun anew by every call."""
        drawn = torch.Generator().manual_seed(self.seed)
        return tuple(
            noise(unit, self.keep, mean=self.mean, std=self.std, generator=drawn)
            for unit in checked(self.units, model)
        )

    def __str__(self) -> str:
        given = [("mean", self.mean, 0), ("std", self.std, 1), ("seed", self.seed, 0)]
        rest = [f" {name} {number(value)}" for name, value, usual in given if value != usual]
        return f"noise {listed(self.units)} keep {number(self.keep)}{''.join(rest)}"


@dataclass(frozen=True)
class Mask:
    """The `dst` tokens do not read the `src` tokens, in some layers or heads.

    `lost`: nothing takes the place of what they read (`attention_mask`), or the other tokens do
    (`token_mask`). `all` means every token.
    """

    src: str
    dst: str
    first: int | None = None
    last: int | None = None
    heads: tuple[Unit, ...] = ()
    lost: bool = False

    def hooks(self, model: Hooked, idf: Callable[[], Direction] = no_direction) -> tuple[Hook, ...]:
        """One hook for each layer, or head.

        Raises:
            LookupError: a layer or head that the model does not have.
        """
        dst, src = (None if name == ALL else name for name in (self.dst, self.src))
        mask = attention_mask if self.lost else token_mask
        if self.heads:
            at = [(layer_of(unit), index_of(unit)) for unit in checked(self.heads, model)]
            return tuple(mask(layer, dst=dst, src=src, head=index) for layer, index in at)
        n_layers = len(model.block_outputs())
        for layer in (self.first, self.last):
            if layer is not None and layer >= n_layers:
                raise LookupError(
                    f"{self}: layer {layer} is outside the model, which has layers 0 to "
                    f"{n_layers - 1}"
                )
        last = n_layers - 1 if self.last is None else self.last
        return tuple(mask(i, dst=dst, src=src) for i in range(self.first or 0, last + 1))

    def __str__(self) -> str:
        where = ""
        if self.heads:
            where = f" in {listed(self.heads)}"
        elif self.first is not None and self.first == self.last:
            where = f" in layer {self.first}"
        else:
            where += "" if self.first is None else f" from layer {self.first}"
            where += "" if self.last is None else f" to layer {self.last}"
        return f"{'drop' if self.lost else 'mask'} {self.src}{ARROW}{self.dst}{where}"


@dataclass(frozen=True)
class EditWords:
    """The embeddings of words are edited where these stand in the texts.

    `verb` and `what` are "scale idf", "set idf" or "scale embedding".
    """

    verb: str
    what: str
    words: tuple[str, ...]
    value: float
    pos: str = ""

    def hooks(self, model: Hooked, idf: Callable[[], Direction] = no_direction) -> tuple[Hook, ...]:
        """One hook at the word embeddings.

        `idf` gives the model's IDF direction, as in
        `lambda: idf_direction(model.W_E, TokenIdf.of_documents(tokenizer, documents))`.
        """
        edits = {
            "scale embedding": lambda token: scale_rows(token, self.value),
            "scale idf": lambda token: idf().scaled(token, self.value),
            "set idf": lambda token: idf().to(token, self.value),
        }
        edit = edits[f"{self.verb} {self.what}"]
        if self.what == "idf":
            idf()  # what cannot be measured is an error now, not in the middle of a run
        return (edit_words(self.words, edit, pos=self.pos or None),)

    def __str__(self) -> str:
        by = "by" if self.verb == "scale" else "to"
        words = " ".join(map(repr, self.words))
        within = f" in {self.pos}" if self.pos else ""
        return f"{self.verb} {self.what} of {words} {by} {number(self.value)}{within}"


Intervention = Ablate | Noise | Mask | EditWords


def needs_idf(intervention: Intervention) -> bool:
    """Whether its hooks need the IDF direction, which is found among a collection's documents."""
    return isinstance(intervention, EditWords) and intervention.what == "idf"


def named(line: str) -> Intervention:
    """The intervention that a line names; `str` of it is the line, in its shortest form.

    Raises:
        ValueError: no intervention is written so; names what was expected, and near names.
    """
    try:
        return Reader.of(line).intervention()
    except (ValueError, LookupError) as error:
        raise ValueError(f"intervention {line!r}: {error}") from None


def named_in(path: str | Path) -> tuple[Intervention, ...]:
    """The interventions that a YAML file lists: one line of text each.

    Raises:
        ValueError: the file is no YAML, no list of texts, or names no intervention.
    """
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise ValueError(f"{path} holds {found!r:.60}; expected a list, one line each: - {EXAMPLE}")
    try:
        return tuple(map(named, found))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


EXAMPLE: Final = "ablate 2.9 1.1"


class Word(str):
    """A lexeme that was quoted: never a key word."""


@dataclass
class Reader:
    """The lexemes of a line, from left to right."""

    left: list[str]

    @classmethod
    def of(cls, line: str) -> "Reader":
        found = []
        for each in LEXEME.findall(line):
            if each[0] in "'\"":
                if len(each) < 2 or each[-1] != each[0]:
                    raise ValueError(f"the quotation mark of {each} is not closed")
                found.append(Word(ast.literal_eval(each)))
            else:
                found.append(each.replace("→", ARROW))
        return cls(found)

    def intervention(self) -> Intervention:
        verb = self.left.pop(0) if self.left else ""
        if verb not in FORMS:
            raise ValueError(f"none begins with {verb!r}; {near(verb, FORMS)}")
        self.form = FORMS[verb]
        found = getattr(self, f"read_{verb}")()
        if self.left:
            raise self.wrong(f"{' '.join(self.left)!r} is too much")
        return found

    def read_ablate(self) -> Ablate:
        units = self.units({"to"})
        return Ablate(units, self.number() if self.follows("to") else 0.0)

    def read_noise(self) -> Noise:
        units = self.units({"keep"})
        self.demand("keep")
        found = Noise(units, self.number())
        if not 0 <= found.keep <= 1:
            raise ValueError(f"keep is {found.keep}, expected a share between 0 and 1")
        if self.follows("mean"):
            found = replace(found, mean=self.number())
        if self.follows("std"):
            found = replace(found, std=self.number())
        if found.std < 0:
            raise ValueError(f"std is {found.std}, expected a standard deviation of at least 0")
        return replace(found, seed=self.whole()) if self.follows("seed") else found

    def read_mask(self) -> Mask:
        src, arrow, dst = self.next("TOKENS->TOKENS").partition(ARROW)
        if not arrow:
            raise self.wrong(f"found {src!r} where TOKENS->TOKENS was expected")
        found = Mask(tokens(src), tokens(dst))
        if self.follows("in"):
            if self.follows("layer"):
                layer = self.whole()
                return replace(found, first=layer, last=layer)
            heads = self.units(set())
            for unit in heads:
                if unit != head(layer_of(unit), index_of(unit)):
                    raise ValueError(f"{written(unit)} is no head, as 2.9 is")
            return replace(found, heads=heads)
        if self.follows("from"):
            found = replace(found, first=self.layer())
        if self.follows("to"):
            found = replace(found, last=self.layer())
        if found.first is not None and found.last is not None and found.first > found.last:
            raise ValueError(f"layers from {found.first} to {found.last} are none")
        return found

    def read_drop(self) -> Mask:
        return replace(self.read_mask(), lost=True)

    def read_scale(self) -> EditWords:
        return self.edit("scale", ("idf", "embedding"), "by")

    def read_set(self) -> EditWords:
        return self.edit("set", ("idf",), "to")

    def edit(self, verb: str, known: tuple[str, ...], by: str) -> EditWords:
        what = self.next("|".join(known))
        if what not in known:
            raise self.wrong(f"{verb} {what!r} is not known; {near(what, known)}")
        self.demand("of")
        words = self.until({by})
        if not words or not all(map(tokenize, words)):
            raise self.wrong("a word is missing")
        self.demand(by)
        value = self.number()
        pos = tokens(self.next("TOKENS")) if self.follows("in") else ""
        return EditWords(verb, what, tuple(map(str, words)), value, "" if pos == ALL else pos)

    def units(self, stop: set[str]) -> tuple[Unit, ...]:
        found = tuple(map(unit, self.until(stop)))
        if not found:
            raise self.wrong("a unit is missing")
        twice = [each for each in found if found.count(each) > 1]
        if twice:
            raise ValueError(f"{written(twice[0])} is named twice")
        return found

    def until(self, stop: set[str]) -> list[str]:
        """The lexemes before a key word, or the rest."""
        found = []
        while self.left and (isinstance(self.left[0], Word) or self.left[0] not in stop):
            found.append(self.left.pop(0))
        return found

    def follows(self, word: str) -> bool:
        """Whether a key word comes next, which is then taken."""
        if self.left and self.left[0] == word and not isinstance(self.left[0], Word):
            del self.left[0]
            return True
        return False

    def demand(self, word: str) -> None:
        if not self.follows(word):
            raise self.wrong(f"found {self.left[0]!r}" if self.left else "the line ends", word)

    def next(self, expected: str) -> str:
        if not self.left:
            raise self.wrong("the line ends", expected)
        return self.left.pop(0)

    def layer(self) -> int:
        self.demand("layer")
        return self.whole()

    def whole(self) -> int:
        found = self.next("a whole number")
        if not re.fullmatch(r"[0-9]+", found):
            raise self.wrong(f"found {found!r}", "a whole number")
        return int(found)

    def number(self) -> float:
        found = self.next("a number")
        try:
            value = float(found)
        except ValueError:
            raise self.wrong(f"found {found!r}", "a number") from None
        if not math.isfinite(value):
            raise self.wrong(f"found {found!r}", "a finite number")
        return value

    def wrong(self, found: str, expected: str = "") -> ValueError:
        where = f" where {expected} was expected" if expected else ""
        return ValueError(f"{found}{where}; it is written {self.form}")


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


def number(value: float | int) -> str:
    """As short as it can be read back exactly."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


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
