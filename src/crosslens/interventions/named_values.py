"""Interventions as values: each prints as `named` reads it, and gives the hooks for a model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import torch

from ..hooks import Hook, Hooked
from ..sites import Unit
from .ablate import ablate
from .edit import scale_rows
from .mask import attention_mask, token_mask
from .noise import noise
from .unit_names import ALL, checked, index_of, layer_of, listed
from .word_edits import edit_words


ARROW: Final = "->"


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
        """One hook for each unit, each with its own draw of the seed: the same in every call."""
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


def number(value: float | int) -> str:
    """As short as it can be read back exactly."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
