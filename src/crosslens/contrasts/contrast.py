"""A contrast: pairs with and without one relevance signal, the same token for token but there."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool
from torch import Tensor

from ..not_measurable import NotMeasurable
from ..pairs import Pairs, Segment
from .edits import occurrences, Span
from .roles import BY_SEGMENT, covering, NAMES, roles


@runtime_checkable
class Tokenizing(Protocol):
    """What a contrast asks of a model: how it reads texts."""

    def pairs(self, queries: Sequence[str], documents: Sequence[str]) -> Pairs: ...


class Minimal(NamedTuple):
    """A query and two texts that differ in one signal, before they are tokens.

    `edits` says where the edited words stand in each text, in characters; without it, they
    are whatever tokens differ.
    """

    query: str
    base: str
    more: str
    term: str  # the selected query term, whose tokens are Q+ and D+
    qid: str = ""
    docid: str = ""
    edits: tuple[tuple[Span, ...], tuple[Span, ...]] | None = None
    is_shortened: bool = False  # the document lost its last words, so that the pair fits

    @property
    def injected(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The edited words of each side."""
        if self.edits is None:
            return (), ()
        on_base, on_more = self.edits
        return tuple(self.base[a:b] for a, b in on_base), tuple(self.more[a:b] for a, b in on_more)


@dataclass(frozen=True, eq=False)
class Contrast:
    """Aligned pairs: position i of `base` and of `more` is the same token, or an edited one.

    Both sides have the same segments and roles; tokens differ only where the role is D_inj.
    `skipped` counts the candidates left out, by reason. Pairs that a model scores alike are
    kept: what is flat for one model is none for another.

    Raises:
        ValueError: the sides do not align.
    """

    signal: str
    base: Pairs
    more: Pairs
    minimal: tuple[Minimal, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Contrast({self.signal}: {len(self.base)} pairs)"

    def __post_init__(self) -> None:
        base, more = self.base, self.more
        if base.token.shape != more.token.shape or len(self.minimal) != len(base):
            raise ValueError(
                f"{self.signal}: the sides hold {tuple(base.token.shape)} and "
                f"{tuple(more.token.shape)} tokens of {len(self.minimal)} minimal pairs; "
                "they must align"
            )
        if base.role is None or more.role is None or base.roles != more.roles:
            raise ValueError(f"{self.signal}: both sides need the same roles; see `contrast`")
        same = (base.segment == more.segment) & (base.role == more.role)
        same &= (base.token == more.token) | base.where("D_inj")
        if wrong := (~same.all(dim=1)).nonzero().flatten().tolist():
            raise ValueError(
                f"{self.signal}: the sides of pairs {wrong} differ in a token that is not "
                "D_inj, or in its segment or role"
            )

    @classmethod
    def between(cls, base: Pairs, more: Pairs, signal: str = "difference") -> "Contrast":
        """Any two batches of the same shape and segments, such as two made by hand.

        Tokens that differ are D_inj, in the query too; the rest of it is Q-, the rest of the
        document D_other.
        """
        role = torch.zeros_like(base.token)
        for segment, name in BY_SEGMENT.items():
            role[base.segment == segment] = NAMES.index(name)
        if base.token.shape == more.token.shape:  # else the refusal is `__post_init__`'s
            role[base.token != more.token] = NAMES.index("D_inj")
            more = more.with_roles(role, NAMES)
        texts = zip(base.query, base.document, more.document, strict=False)
        minimal = tuple(Minimal(*each, term="") for each in texts)
        return cls(signal, base.with_roles(role, NAMES), more, minimal)

    def __len__(self) -> int:
        return len(self.base)

    @property
    def terms(self) -> tuple[str, ...]:
        """The selected query term of each pair."""
        return tuple(each.term for each in self.minimal)

    @property
    def n_shortened(self) -> int:
        """How many documents lost words at their end, so that the pair fits the model."""
        return sum(each.is_shortened for each in self.minimal)

    @property
    def reversed(self) -> "Contrast":
        """The same pairs with the sides exchanged: what breaks when the signal is taken away."""
        exchanged = tuple(
            each._replace(
                base=each.more, more=each.base, edits=each.edits and (each.edits[1], each.edits[0])
            )
            for each in self.minimal
        )
        return replace(
            self,
            signal=f"{self.signal} reversed",
            base=self.more,
            more=self.base,
            minimal=exchanged,
        )

    def take(self, index: Sequence[int] | slice) -> "Contrast":
        """Some of its pairs, in this order."""
        rows = list(range(len(self)))[index] if isinstance(index, slice) else list(index)
        return replace(
            self,
            base=self.base.take(rows),
            more=self.more.take(rows),
            minimal=tuple(self.minimal[i] for i in rows),
        )

    def to(self, device: torch.device | str) -> "Contrast":
        """The same pairs on another device: that of a model which moved since they were made."""
        return replace(self, base=self.base.to(device), more=self.more.to(device))

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
        NotMeasurable: none does; says why, with counts.
    """
    listed = list(minimal)
    why = Counter(skipped or {})
    if not listed:
        raise nothing(signal, why)
    base, more, edited, reasons = aligned(model, listed)
    kept: list[int] = []
    for i, reason in enumerate(reasons):
        if len(kept) == most:
            break
        if reason is None:
            kept.append(i)
        else:
            why[reason] += 1
    if not kept:
        raise nothing(signal, why)
    base, more = base.take(kept), more.take(kept)
    some = tuple(listed[i] for i in kept)
    width = base.token.shape[1]
    role = roles(base.to("cpu"), [each.term for each in some], edited[kept][:, :width])
    role = role.to(base.device)
    return Contrast(
        signal, base.with_roles(role, NAMES), more.with_roles(role, NAMES), some, dict(why)
    )


def nothing(signal: str, why: Mapping[str, int]) -> NotMeasurable:
    """The error of a contrast without a pair."""
    found = ", ".join(f"{n} {reason}" for reason, n in why.items()) or "no candidates at all"
    return NotMeasurable(f"no pair for {signal}: {found}")


def aligned(
    model: Tokenizing, minimal: Sequence[Minimal]
) -> tuple[Pairs, Pairs, Bool[Tensor, "pair pos"], list[str | None]]:
    """Both sides, the edited positions, and why each pair does not align; None if it does."""
    queries = [each.query for each in minimal]
    both = model.pairs(
        queries * 2, [each.base for each in minimal] + [each.more for each in minimal]
    )
    n = len(minimal)
    wide = both.to("cpu")  # at the width of the widest, so that positions compare
    edited = torch.zeros(n, wide.token.shape[1], dtype=torch.bool)
    reasons = []
    for i, each in enumerate(minimal):
        on_base, on_more = edited_positions(wide, i, i + n, each.edits)
        edited[i] = on_base
        reasons.append(misalignment(wide, (i, i + n), (on_base, on_more), each.term))
    return both.take(range(n)), both.take(range(n, 2 * n)), edited, reasons


def edited_positions(
    pairs: Pairs, base: int, more: int, edits: tuple[Sequence[Span], Sequence[Span]] | None
) -> tuple[Bool[Tensor, " pos"], Bool[Tensor, " pos"]]:
    """Where the edited words stand, in rows `base` and `more`."""
    if edits is None:
        differs = pairs.token[base] != pairs.token[more]
        return differs, differs
    on_base, on_more = (
        covering(pairs, row, Segment.DOCUMENT, spans)
        for row, spans in zip((base, more), edits, strict=True)
    )
    return on_base, on_more


def misalignment(
    pairs: Pairs,
    rows: tuple[int, int],
    edited: tuple[Bool[Tensor, " pos"], Bool[Tensor, " pos"]],
    term: str,
) -> str | None:
    """Why two rows cannot be compared position by position; None if they can."""
    base, more = rows
    if pairs.cut[base] or pairs.cut[more]:
        return "longer than the model reads"
    if pairs.lengths[base] != pairs.lengths[more]:
        return "of unequal length in tokens"
    if not torch.equal(pairs.segment[base], pairs.segment[more]):
        return "of unequal segments"
    differs = pairs.token[base] != pairs.token[more]
    if not differs.any():
        return "the same on both sides"
    if (differs & (pairs.segment[base] == Segment.QUERY)).any():
        return "different in the query"
    if not torch.equal(*edited) or (differs & ~edited[0]).any():
        return "whose edit changes the tokens around it"
    if not is_read(pairs, base, term):
        return "with a term that the model does not read as a word of the query"
    return None


def is_read(pairs: Pairs, i: int, term: str) -> bool:
    """Whether some tokens of query `i` spell the term, and nothing else."""
    inside = pairs.span[i][pairs.segment[i] == Segment.QUERY].tolist()
    starts, ends = {start for start, _ in inside}, {end for _, end in inside}
    found = occurrences(pairs.query[i], [term])
    return any(start in starts and end in ends for start, end in found)
