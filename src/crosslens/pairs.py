"""What goes in: query-document pairs in which every token knows its segment and its word."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from itertools import chain
from typing import Final

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from .not_measurable import NotMeasurable
from .sites import near, OR


class Segment(IntEnum):
    """The part of the input a token belongs to, the same for every model family."""

    PAD = 0
    CLS = 1
    QUERY = 2
    SEP1 = 3
    DOCUMENT = 4
    SEP2 = 5
    TEMPLATE = 6  # the words around the two texts in a prompt, its special tokens included
    INSTRUCTION = 7  # by what the model is to judge


SEGMENTS: Final = {segment.name.lower(): segment for segment in Segment}
SCORED: Final = "scored"  # the name of the scored row among those of segments
NOT_A_WORD: Final = -1
NOWHERE: Final = -1  # the scored row of a model whose score is read from no row of the pair
PADDED: Final = 1.15  # of pairs of like length the longest is at most so much longer


@dataclass(frozen=True, eq=False)
class Pairs:
    """A padded batch of `[CLS] query [SEP] document [SEP]`, or of a template with both in it.

    The attention mask is derived from the segments, so no caller can forget it. `word` numbers
    the words of each text from 0 (`NOT_A_WORD` for special tokens); `span` is where the
    token stands in its text, in characters. A contrast adds `role`: an index into `roles` for
    every token. `numbers` says which each was among the pairs that were made together: random
    edits know a pair by it, whatever batch it runs in.
    """

    token: Int[Tensor, "pair pos"]
    segment: Int[Tensor, "pair pos"]
    token_type: Int[Tensor, "pair pos"]  # what the model's own tokenizer gives, padding included
    word: Int[Tensor, "pair pos"]
    span: Int[Tensor, "pair pos 2"]
    cut: Int[Tensor, " pair"]  # how many tokens truncation removed
    # The scored row, the position from which the score is read; NOWHERE before a decoder step.
    scored: Int[Tensor, " pair"]
    query: tuple[str, ...]
    document: tuple[str, ...]
    role: Int[Tensor, "pair pos"] | None = None
    roles: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()  # from 0, unless given

    def __post_init__(self) -> None:
        if not self.numbers:
            object.__setattr__(self, "numbers", tuple(range(len(self))))

    def __len__(self) -> int:
        return self.token.shape[0]

    @property
    def attended(self) -> Bool[Tensor, "pair pos"]:
        """True at every token, False at padding."""
        return self.segment != Segment.PAD

    @property
    def shape(self) -> torch.Size:
        """Pairs and tokens, as token ids have it: `transformer_lens.patching` asks for it."""
        return self.token.shape

    @property
    def lengths(self) -> Int[Tensor, " pair"]:
        """How many tokens each pair has, special ones included."""
        return self.attended.sum(dim=1)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.token.device

    def where(self, *names: str | Segment) -> Bool[Tensor, "pair pos"]:
        """The tokens with any of these segments or roles: `pairs.where("query", "D_inj")`.

        "scored" is the scored row, whatever its segment. One string may join several names, as a
        unit does: "query|D_inj".

        Raises:
            LookupError: no token has one of these names; the error names those that some have.
            NotMeasurable: "scored" where the score is read from no row.
        """
        found = torch.zeros_like(self.token, dtype=torch.bool)
        split = [name.split(OR) if isinstance(name, str) else [name] for name in names]
        for name in chain.from_iterable(split):
            if isinstance(name, Segment) or name in SEGMENTS:
                found |= self.segment == int(SEGMENTS.get(name, name))  # type: ignore[arg-type]
            elif name == SCORED:
                found |= self.is_scored
            elif self.role is not None and name in self.roles:
                found |= self.role == self.roles.index(name)
            else:
                known = [*SEGMENTS, SCORED, *self.roles]
                raise LookupError(f"no token is called {name!r}; {near(str(name), known)}")
        return found

    def mask(self, axes: tuple[str, ...], named: dict[str, str]) -> Bool[Tensor, "..."]:
        """The tokens of `named` (axis to name), shaped to broadcast over a tensor of `axes`."""
        kept = torch.ones((len(self),) + (1,) * (len(axes) - 1), dtype=torch.bool)
        kept = kept.to(self.device)
        for axis, name in named.items():
            shape = [len(self) if a == "pair" else -1 if a == axis else 1 for a in axes]
            kept = kept & self.where(name).reshape(shape)
        return kept

    def words(self, i: int) -> list[str]:
        """The text of every token's word in pair `i`; special tokens give their segment."""
        texts = {Segment.QUERY: self.query[i], Segment.DOCUMENT: self.document[i]}
        segments = [Segment(s) for s in self.segment[i].tolist()]
        word, span = self.word[i].tolist(), self.span[i].tolist()
        reach: dict[tuple[Segment, int], tuple[int, int]] = {}
        for segment, w, (start, end) in zip(segments, word, span, strict=True):
            if w != NOT_A_WORD:
                old = reach.get((segment, w), (start, end))
                reach[segment, w] = (min(old[0], start), max(old[1], end))
        return [
            f"[{segment.name}]" if w == NOT_A_WORD else texts[segment][slice(*reach[segment, w])]
            for segment, w in zip(segments, word, strict=True)
        ]

    def take(self, index: Sequence[int] | slice, *, width: int | None = None) -> "Pairs":
        """These pairs, in this order, without padding that none of them needs.

        Or cut to `width` tokens, for a caller who knows how many are needed.
        """
        rows = list(range(len(self)))[index] if isinstance(index, slice) else list(index)
        if width is None:
            width = int(self.lengths[rows].max()) if rows else 0
        changed = {
            name: (value[rows][:, :width] if value.dim() > 1 else value[rows])
            for name, value in self._tensors()
        }
        texts = {
            "query": tuple(self.query[row] for row in rows),
            "document": tuple(self.document[row] for row in rows),
            "numbers": tuple(self.numbers[row] for row in rows),
        }
        return replace(self, **changed, **texts)

    def like_lengths(self, at_once: int | None = None) -> list[tuple[int, list[int]]]:
        """The pairs in groups of like length, `at_once` at most, each with the tokens it needs."""
        lengths = self.lengths.tolist()
        groups: list[list[int]] = []
        for pair in sorted(range(len(self)), key=lengths.__getitem__):
            is_full = not groups or len(groups[-1]) == at_once
            if is_full or lengths[pair] > PADDED * lengths[groups[-1][0]]:
                groups.append([])
            groups[-1].append(pair)
        return [(lengths[group[-1]], group) for group in groups]

    def only(self, kept: Bool[Tensor, "pair pos"]) -> "Pairs":
        """The pairs with these of their tokens alone; what stands behind a gap moves up.

        Texts, words and spans stay those of the whole pair, so that every token that is left
        still knows where it came from.

        Raises:
            ValueError: the row that is scored would go.
        """
        kept = kept & self.attended
        rows = torch.arange(len(self), device=self.device)
        is_somewhere = self.scored != NOWHERE
        if not kept[rows, self.scored][is_somewhere].all():
            raise ValueError("the scored row would go: nothing could be scored")
        order = (~kept).to(torch.int8).argsort(dim=1, stable=True)
        n = kept.sum(dim=1)
        beyond = torch.arange(order.shape[1], device=self.device)[None] >= n[:, None]

        def moved(values: Tensor) -> Tensor:
            index = order if values.dim() == 2 else order[:, :, None].expand_as(values)
            return values.gather(1, index)

        changed = {name: moved(value) for name, value in self._tensors() if value.dim() > 1}
        changed["segment"] = changed["segment"].masked_fill(beyond, int(Segment.PAD))
        changed["word"] = changed["word"].masked_fill(beyond, NOT_A_WORD)
        moved_to = kept.long().cumsum(dim=1)[rows, self.scored] - 1
        changed["scored"] = torch.where(is_somewhere, moved_to, NOWHERE)
        return replace(self, **changed).take(range(len(self)))

    def repeat(self, times: int) -> "Pairs":
        """All pairs `times` over, numbers too: the rows of cell after cell of a sweep."""
        changed = {
            name: value.repeat(times, *(1,) * (value.dim() - 1)) for name, value in self._tensors()
        }
        once = {"query": self.query, "document": self.document, "numbers": self.numbers}
        return replace(self, **changed, **{name: value * times for name, value in once.items()})

    def to(self, device: torch.device | str) -> "Pairs":
        """The same pairs on another device."""
        return replace(self, **{name: sent(value, device) for name, value in self._tensors()})

    def with_roles(self, role: Int[Tensor, "pair pos"], roles: Sequence[str]) -> "Pairs":
        """The same pairs, with every token given one of `roles` by its index.

        Raises:
            ValueError: not one role for each token, or a name that holds the sign that joins names.
        """
        if role.shape != self.token.shape:
            raise ValueError(
                f"roles have shape {tuple(role.shape)}, tokens {tuple(self.token.shape)}: "
                "every token needs one role"
            )
        joined = [name for name in roles if OR in name]
        if joined:
            raise ValueError(f"{joined}: the name of a role has no {OR!r}, which joins names")
        return replace(self, role=role, roles=tuple(roles))

    def _tensors(self) -> list[tuple[str, Tensor]]:
        """The fields that are tensors, with their names."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return [(name, value) for name, value in values if isinstance(value, Tensor)]

    @property
    def is_scored(self) -> Bool[Tensor, "pair pos"]:
        """True at the scored row of each pair.

        Raises:
            NotMeasurable: the score is read from no row (`require_rows`).
        """
        require_rows(self.scored)
        place = torch.arange(self.token.shape[1], device=self.device)
        return place == self.scored[:, None]

    def __repr__(self) -> str:
        return f"Pairs({len(self)} pairs, up to {self.token.shape[1]} tokens)"


def require_rows(scored: Int[Tensor, " pair"]) -> None:
    """Refuse to look for the scored row where there is none.

    Raises:
        NotMeasurable: the score is that of a decoder step, which reads every token.
    """
    if (scored == NOWHERE).any():
        raise NotMeasurable(
            "this model's score is read from a step of its decoder, not from a row of the pair: "
            "there is no scored row; name the tokens that are meant (dst=, pos=), or record what "
            "the step reads (`cross_pattern`)"
        )


def sent(value: Tensor, device: torch.device | str) -> Tensor:
    """A tensor on another device; to a GPU from pinned memory, so that work there need not wait."""
    if torch.device(device).type == "cuda" and value.device.type == "cpu":
        # whole in memory first: what was expanded has no place of its own for each number
        return value.contiguous().pin_memory().to(device, non_blocking=True)
    return value.to(device)


def scored_row(
    x: Shaped[Tensor, "pair pos *part"], scored: Int[Tensor, " pair"]
) -> Shaped[Tensor, "pair 1 *part"]:
    """The row of each pair from which its score is read, as a tensor of one position.

    `scored` is `Pairs.scored`. A tensor of one position is that row already: the last block
    computes no other where nothing else is read.

    Raises:
        NotMeasurable: the score is read from no row (`require_rows`).
    """
    if x.shape[1] > 1:
        require_rows(scored)
    return row_at(x, scored)


def row_at(
    x: Shaped[Tensor, "pair pos *part"], scored: Int[Tensor, " pair"]
) -> Shaped[Tensor, "pair 1 *part"]:
    """As `scored_row`, of pairs that are known to have that row.

    `require_rows` waits until a GPU has computed all that it was given. So a model asks once, when
    a pass begins and little is under way, and its blocks do not ask again.
    """
    if x.shape[1] == 1:
        return x
    return x[torch.arange(len(x), device=x.device), scored.to(x.device)][:, None]
