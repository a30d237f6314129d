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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import yaml

from ..signals.frequency import tokenize
from ..sites import head, near, Unit
from .named_values import Ablate, ARROW, EditWords, Intervention, Mask, Noise
from .unit_names import ALL, index_of, layer_of, tokens, unit, written


FORMS: Final = {
    "ablate": "ablate UNIT ... [to NUMBER]",
    "noise": "noise UNIT ... keep SHARE [mean NUMBER] [std NUMBER] [seed NUMBER]",
    "mask": "mask TOKENS->TOKENS [from layer N] [to layer N] [in layer N] [in HEAD ...]",
    "drop": "drop TOKENS->TOKENS [from layer N] [to layer N] [in layer N] [in HEAD ...]",
    "scale": "scale idf|embedding of 'WORD' ... by NUMBER [in TOKENS]",
    "set": "set idf of 'WORD' ... to NUMBER [in TOKENS]",
}
LEXEME: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\S+""")


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
