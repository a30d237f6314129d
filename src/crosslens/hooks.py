"""How: hooks that edit, caches that keep, and all that a method may ask of a model."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from .pairs import Pairs
from .sites import Site, Unit


@dataclass(frozen=True)
class Hook:
    """Replace what `unit` carries by `edit` of it, whenever the model computes it.

    `edit` sees the unit's numbered part, every position of it; where the unit names tokens
    ("query", "D_inj"), only theirs are replaced. An edit that depends on the tokens
    themselves says so, and is given the pairs as well.
    """

    unit: Unit
    edit: Callable[..., Tensor]  # of the part, and of the pairs where `sees_pairs`
    sees_pairs: bool = False

    def __call__(self, activation: Tensor, pairs: Pairs) -> Tensor:
        """The edited activation; the original stays as it was, for whoever holds it."""
        edited = activation.clone()
        self.write(edited, pairs, seen=activation)
        return edited

    def write(
        self, into: Float[Tensor, "pair ..."], pairs: Pairs, *, seen: Float[Tensor, "pair ..."]
    ) -> None:
        """Edit what was `seen`, into a tensor that nobody else holds.

        The two may be one where no gradient is wanted; with gradients, what the edit read
        must stay as it was.

        Raises:
            ValueError: the edit gave a tensor of another shape.
            LookupError: the unit is outside the model.
        """
        require_inside(self.unit, seen)
        into[self.unit.index] = self.changed(seen[self.unit.index], pairs)

    def changed(self, old: Float[Tensor, "..."], pairs: Pairs) -> Float[Tensor, "..."]:
        """What becomes of `old`, the numbered part of the unit, in its own scale.

        Raises:
            ValueError: the edit gave a tensor of another shape.
        """
        new = self.edit(old, pairs) if self.sees_pairs else self.edit(old)
        if new.shape != old.shape:  # broadcasting here would hide a mismatched source
            raise ValueError(
                f"{self.unit} carries {tuple(old.shape)}, but its hook gave {tuple(new.shape)}"
            )
        if self.unit.named:
            new = torch.where(pairs.mask(self.unit.left, self.unit.named), new, old)
        return new


def require_inside(unit: Unit, activation: Float[Tensor, "pair ..."]) -> None:
    """Refuse a coordinate that this model or its pairs do not have.

    Raises:
        LookupError: the unit is outside the model.
    """
    sizes = dict(zip(unit.site.axes, activation.shape, strict=True))
    for axis, i in unit.coordinates:
        if isinstance(i, int) and not -sizes[axis] <= i < sizes[axis]:
            raise LookupError(f"{unit} is outside the model: {axis} has {sizes[axis]}")


class NotRecorded(KeyError):
    """A KeyError, so that `in` and `get` work; printed as it is written, without quotes."""

    __str__ = LookupError.__str__


class Cache(Mapping[Site, Tensor]):
    """What the recorded sites held during the last forward pass."""

    def __init__(self, kept: Mapping[Site, Tensor] | None = None) -> None:
        self._kept = dict(kept or {})

    def keep(self, site: Site, activation: Float[Tensor, "pair ..."]) -> None:
        """Record what `site` carries, in place of what was recorded before."""
        self._kept[site] = activation

    def __getitem__(self, where: Site | Unit) -> Tensor:
        """A site's tensor, or the numbered part of it that a unit names."""
        site = where.site if isinstance(where, Unit) else where
        if site not in self._kept:
            kept = ", ".join(map(str, self._kept)) or "nothing"
            raise NotRecorded(f"{site} was not recorded; this cache holds {kept}")
        whole = self._kept[site]  # the graph's own tensor, so that gradients reach it
        if not isinstance(where, Unit):
            return whole
        require_inside(where, whole)
        return whole[where.index]

    def __iter__(self) -> Iterator[Site]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def layers(self, name: str) -> Float[Tensor, "layer ..."]:
        """The site called `name`, in its own scale, of every layer on a new leading axis."""
        found = [self._kept[site] for site in sorted(self._kept) if site.name == name]
        if not found:
            self[Site(name)]  # says what this cache holds instead
        return torch.stack(found)


Tap = Callable[[Tensor], Tensor | None]


class PartWrites(NamedTuple):
    """The sum over heads or neurons of `act` of what each carries, times its rows of `W`."""

    act: Callable[[Tensor], Tensor]  # of each number: the activation function, or none
    W: Float[Tensor, "part ... d_model"]  # W_O, its second axis d_head, or W_out


@runtime_checkable
class Hooked(Protocol):
    """All that a method may ask of a model."""

    @property
    def reads_scored_row(self) -> bool:
        """Whether the score reads the scored row of the last stream alone."""
        ...

    @property
    def pad_token_id(self) -> int:
        """The padding token of the model's own tokenizer."""
        ...

    @property
    def sizes(self) -> Mapping[str, int]:
        """How long those axes of its sites are that no pair changes."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the weights are, and where pairs are put."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """What activations are numbers of."""
        ...

    @property
    def is_hooked(self) -> bool:
        """Whether any hook is attached now."""
        ...

    def __call__(self, pairs: Pairs) -> Float[Tensor, " pair"]:
        """The relevance scores: the logit of each pair, or the difference of two."""
        ...

    def block_outputs(self) -> list[Site]:
        """The output of every block: the input of the next, and what the last one leaves."""
        ...

    def sites(self, name: str | None = None) -> list[Site]:
        """The sites called `name`, or all, in the order of the forward pass."""
        ...

    def heads(self, site: str = "z") -> list[Unit]:
        """Every attention head at `site`, layer by layer."""
        ...

    def hooked(self, *hooks: Hook) -> AbstractContextManager[None]:
        """Attach `hooks` for the length of a `with` block."""
        ...

    def record(self, *names: str | Site) -> AbstractContextManager[Cache]:
        """Record the named sites, after all edits, for the length of a `with` block."""
        ...

    def tapped(self, taps: Iterable[tuple[Site, Tap]]) -> AbstractContextManager[None]:
        """Pass each site to its function, which may return another tensor, within a block."""
        ...

    def scored_row_only(self) -> AbstractContextManager[None]:
        """Let the last block compute the scored row alone, where nothing else is read."""
        ...

    @property
    def is_causal(self) -> bool:
        """Whether tokens read those before them alone."""
        ...

    def part_writes(self, site: Site) -> PartWrites | None:
        """How heads of `z`, or neurons, write to the stream; None where they do not add up."""
        ...

    def suffix(
        self,
        pairs: Pairs,
        start: int,
        given: Float[Tensor, "pair ..."] | Mapping[str, Tensor],
        earlier: Sequence[Mapping[str, Tensor]] = (),
    ) -> Float[Tensor, " pair"]:
        """The scores when what block `start` is `given` is computed already.

        `earlier` holds the keys and values, by block, of tokens before those that are given.
        """
        ...

    def relay(
        self,
        start: int,
        stop: int,
        given: Mapping[str, Tensor],
        held: Mapping[int, Mapping[str, Tensor]],
    ) -> Float[Tensor, "pair pos d_model"]:
        """The stream that block `stop` reads, in its own scale; some outputs are held."""
        ...


class HeadWeights(NamedTuple):
    """The four matrices of one head, as they act on what attention reads of the stream."""

    Q: Float[Tensor, "d_model d_head"]
    K: Float[Tensor, "d_model d_head"]
    V: Float[Tensor, "d_model d_head"]
    O: Float[Tensor, "d_head d_model"]  # noqa: E741
    q_bias: Float[Tensor, " d_head"]
    is_bilinear: bool  # scores are products of queries and keys, nothing between


@runtime_checkable
class HasWeights(Protocol):
    """A model that shows the weights of its heads."""

    def weights(self, head: Unit) -> HeadWeights:
        """The matrices of one head."""
        ...


def served(
    shared: Float[Tensor, "pair pos kv_head d_head"], n_heads: int
) -> Float[Tensor, "pair pos head d_head"]:
    """The keys or values that each of `n_heads` reads: with grouped queries several share one."""
    n_shared = shared.shape[2]
    if n_shared == n_heads:
        return shared
    return shared.repeat_interleave(n_heads // n_shared, dim=2)


def document_reads(model: Hooked, pairs: Pairs) -> bool:
    """Whether the document's tokens read the query's, and never the other way.

    So it is in a decoder that is given the query first: attention between the two texts then
    runs from the document (dst) to the query (src).
    """
    if not model.is_causal:
        return False
    first = [pairs.where(text).long().argmax(dim=1) for text in ("query", "document")]
    return bool((first[0] < first[1]).all())


def is_grouped(model: Hooked) -> bool:
    """Whether heads of this model share keys and values."""
    return model.sizes.get("kv_head", model.sizes["head"]) != model.sizes["head"]


def read_of(model: Hooked, head: Unit, read: str) -> Unit:
    """What a head (at `z`) reads with: its `q`, or the `k` or `v` that it may share."""
    at, sizes = dict(head.coordinates), model.sizes
    if read != "q" and isinstance(index := at.get("head"), int):
        at["head"] = index % sizes["head"] * sizes.get("kv_head", sizes["head"]) // sizes["head"]
    return Site(read, head.site.layer).at(**at)


def sites_of(hooks: Iterable[Hook]) -> list[Site]:
    """The sites that `hooks` edit, in the order the forward pass reaches them."""
    return sorted({hook.unit.site for hook in hooks}, key=lambda site: site.depth)
