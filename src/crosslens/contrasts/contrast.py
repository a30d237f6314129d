"""A contrast: pairs with and without one relevance signal, the same token for token but there."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool
from torch import Tensor

from ..pairs import Pairs
from .roles import NAMES, roles


@runtime_checkable
class Tokenizing(Protocol):
    """What a contrast asks of a model: how it reads texts."""

    def pairs(self, queries: Sequence[str], documents: Sequence[str]) -> Pairs: ...


class Minimal(NamedTuple):
    """A query and two texts that differ in one signal, before they are tokens."""

    query: str
    base: str
    more: str
    term: str  # the selected query term, whose tokens are Q+ and D+
    qid: str = ""
    docid: str = ""


@dataclass(frozen=True, eq=False)
class Contrast:
    """Aligned pairs: position i of `base` and of `more` is the same token, or an edited one.

    Both sides carry the same roles. `skipped` counts the candidates left out, by reason.
    """

    signal: str
    base: Pairs
    more: Pairs
    minimal: tuple[Minimal, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.base)

    @property
    def reversed(self) -> "Contrast":
        """The same pairs with the sides exchanged: what breaks when the signal is taken away."""
        return replace(self, signal=f"{self.signal} reversed", base=self.more, more=self.base)

    def take(self, index: Sequence[int]) -> "Contrast":
        """Some of its pairs, in this order."""
        return replace(
            self,
            base=self.base.take(index),
            more=self.more.take(index),
            minimal=tuple(self.minimal[i] for i in index),
        )

    def __str__(self) -> str:
        left_out = sum(self.skipped.values())
        return f"{self.signal}: {len(self)} pairs, {left_out} candidates left out"


def contrast(
    model: Tokenizing,
    signal: str,
    minimal: Iterable[Minimal],
    *,
    most: int | None = None,
    skipped: Mapping[str, int] | None = None,
) -> Contrast:
    """The first `most` minimal pairs that align, as the model reads them.

    Raises:
        ValueError: none does; says why, with counts.
    """
    listed = list(minimal)
    why = Counter(skipped or {})
    kept: list[int] = []
    if listed:
        queries = [each.query for each in listed]
        base = model.pairs(queries, [each.base for each in listed])
        more = model.pairs(queries, [each.more for each in listed])
        for i, each in enumerate(listed):
            if most is not None and len(kept) == most:
                break
            reason = misalignment(base, more, i, each)
            if reason is None:
                kept.append(i)
            else:
                why[reason] += 1
    if not kept:
        found = ", ".join(f"{n} {reason}" for reason, n in why.items()) or "no candidates at all"
        raise ValueError(f"no pair for {signal}: {found}")
    base, more = base.take(kept), more.take(kept)
    some = tuple(listed[i] for i in kept)
    role = roles(base, [each.term for each in some], base.token != more.token).to(base.device)
    return Contrast(
        signal, base.with_roles(role, NAMES), more.with_roles(role, NAMES), some, dict(why)
    )


def misalignment(base: Pairs, more: Pairs, i: int, minimal: Minimal) -> str | None:
    """Why the two sides of pair `i` cannot be compared position by position; None if they can."""
    if base.cut[i] or more.cut[i]:
        return "longer than the model reads"
    if base.lengths[i] != more.lengths[i]:
        return "of unequal length in tokens"
    n = int(base.lengths[i])
    if not torch.equal(base.segment[i, :n], more.segment[i, :n]):
        return "of unequal segments"
    query = base.where("query")[i]
    differs = differing(base, more, i)
    if not differs.any():
        return "the same on both sides"
    if (differs & query[:n]).any():
        return "different in the query"
    if minimal.term not in {word.strip().lower() for word in base.words(i)[: int(query.sum()) + 1]}:
        return "with a term that the model does not read as one word of the query"
    return None


def differing(base: Pairs, more: Pairs, i: int) -> Bool[Tensor, " pos"]:
    """The positions at which the two sides of pair `i` hold different tokens."""
    n = int(base.lengths[i])
    return base.token[i, :n] != more.token[i, :n]
