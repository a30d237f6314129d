"""What a BM25-like formula may see of a pair: at each query token, soft and exact frequency.

    MS_h(i)   what head h reads of the document at query token i (`soft_tf`)
    tf(i)     how often the token itself occurs in the document
    |d|       how many tokens the document has

all read in the one pass that scores the pair, so that they speak of what the model saw.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..batching.batch_size import BatchSize
from ..batching.batches import liked
from ..corpora.collection import Collection
from ..engine.memory import Footprint
from ..engine.sweep import Progress
from ..hooks import document_reads, Hooked
from ..not_measurable import NotMeasurable
from ..pairs import Pairs
from ..sites import Names, Site, Unit
from .queries import first_tokens


NONE: Final = -1  # the token id beyond the end of a query
QUERIES_PER_CHUNK: Final = 16

Keep = Callable[[str, Callable[[], pd.DataFrame]], pd.DataFrame]  # as `Findings.chunk` of a table


@runtime_checkable
class Reader(Hooked, Protocol):
    """A hooked model that also reads texts."""

    def pairs(self, queries: Sequence[str], documents: Sequence[str]) -> Pairs: ...


@dataclass(frozen=True, eq=False)
class Observed:
    """Some pairs, as seen at their query tokens; beyond a query's end counts are 0."""

    heads: tuple[str, ...]  # as papers write them: "5.9"
    qid: np.ndarray
    docid: np.ndarray
    score: Float[np.ndarray, " pair"]
    length: Int[np.ndarray, " pair"]  # of the document, in tokens
    token: Int[np.ndarray, "pair place"]
    tf: Int[np.ndarray, "pair place"]
    soft_tf: Float[np.ndarray, "pair place head"]

    def __len__(self) -> int:
        return len(self.score)

    @property
    def is_token(self) -> Bool[np.ndarray, "pair place"]:
        return self.token != NONE

    def of(self, heads: Sequence[Unit]) -> Float[np.ndarray, "pair place head"]:
        """The soft frequencies of some heads, in the order given."""
        names = [written(head) for head in heads]
        if missing := [name for name in names if name not in self.heads]:
            raise LookupError(
                f"heads {missing} were not observed; {len(self.heads)} others were: "
                "name all heads in `observe`"
            )
        return self.soft_tf[..., [self.heads.index(name) for name in names]]

    def at(self, values: Float[Tensor, " id"]) -> Float[np.ndarray, "pair place"]:
        """A value of each token's own, such as its IDF, looked up by id; 0 beyond the query."""
        table = values.cpu().double().numpy()
        return np.where(self.is_token, table[np.maximum(self.token, 0)], 0.0)

    def take(self, rows: np.ndarray) -> "Observed":
        """Some of the pairs, by number or mask."""
        changed = {each.name: getattr(self, each.name)[rows] for each in fields(self)[1:]}
        return replace(self, **changed)

    def frame(self) -> pd.DataFrame:
        """One row per pair and query token; a column for each head."""
        pair, place = np.nonzero(self.is_token)
        by_pair = {"qid": self.qid, "docid": self.docid, "score": self.score, "length": self.length}
        columns = {name: values[pair] for name, values in by_pair.items()}
        columns |= {"place": place, "token": self.token[pair, place], "tf": self.tf[pair, place]}
        soft = pd.DataFrame(self.soft_tf[pair, place], columns=list(self.heads))
        return pd.concat([pd.DataFrame(columns), soft], axis=1)

    @classmethod
    def of_frame(cls, frame: pd.DataFrame) -> "Observed":
        """The pairs of a table that `frame` made, or of several such tables one below another."""
        heads = tuple(frame.columns[7:])
        place = np.asarray(frame["place"])
        starts = place == 0
        pair = starts.cumsum() - 1
        shape = (int(starts.sum()), int(place.max()) + 1)
        token, tf = np.full(shape, NONE), np.zeros(shape, dtype=int)
        soft_tf = np.zeros((*shape, len(heads)))
        token[pair, place], tf[pair, place] = frame["token"], frame["tf"]
        soft_tf[pair, place] = frame[list(heads)]
        qid, docid, score, length = (
            np.asarray(frame[name])[starts] for name in ("qid", "docid", "score", "length")
        )
        return cls(heads, qid, docid, score, length, token, tf, soft_tf)

    @classmethod
    def joined(cls, parts: Sequence["Observed"]) -> "Observed":
        """The pairs of all parts, one part after another."""
        most = max(part.token.shape[1] for part in parts)

        def wide(values: np.ndarray, fill: int) -> np.ndarray:
            if values.ndim == 1:
                return values
            beyond = [(0, 0), (0, most - values.shape[1]), (0, 0)][: values.ndim]
            return np.pad(values, beyond, constant_values=fill)

        whole = {
            each.name: np.concatenate(
                [
                    wide(getattr(part, each.name), NONE if each.name == "token" else 0)
                    for part in parts
                ]
            )
            for each in fields(cls)[1:]
        }
        return cls(parts[0].heads, **whole)


@torch.no_grad()
def observe(
    model: Hooked,
    pairs: Pairs,
    heads: Sequence[Unit],
    *,
    qid: Sequence[str] | None = None,
    docid: Sequence[str] | None = None,
    src: Names = "document",
    memory_budget: int | None = None,
    progress: Progress | None = None,
) -> Observed:
    """The pairs' scores and, at every query token, the soft frequencies of `heads`.

    Without `qid` pairs belong together whose query is the same text. `src` is what is read;
    ("document", "sep2") also counts the last [SEP], as the authors' code does. Attention is
    looked into only in the layers of `heads`, and summed as it passes. `progress(done, total)`
    counts pairs.

    Raises:
        ValueError: no head, or not an id for every pair.
        MemoryError: the budget does not hold one pair.
    """
    if not heads:
        raise ValueError("no head to observe; model.heads() gives all of them")
    for name, ids in (("qid", qid), ("docid", docid)):
        if ids is not None and len(ids) != len(pairs):
            raise ValueError(f"{len(ids)} {name}s for {len(pairs)} pairs: each needs one")
    names = np.empty(len(pairs), dtype=object), np.empty(len(pairs), dtype=object)
    names[0][:] = pairs.query if qid is None else qid
    names[1][:] = range(len(pairs)) if docid is None else docid
    parts, order = [], []
    for rows in _batches(model, pairs, memory_budget):

        def seen(some: Sequence[int]) -> Observed:
            mine = names[0][list(some)], names[1][list(some)]
            return _observed(model, pairs.take(some), heads, src, mine)

        for _, part in BatchSize(len(rows), tokens=pairs.token.shape[1]).batches(seen, rows):
            parts.append(part)
        order += rows
        if progress is not None:
            progress(len(order), len(pairs))
    return Observed.joined(parts).take(np.argsort(order))


def observe_candidates(
    model: Reader,
    collection: Collection,
    heads: Sequence[Unit],
    *,
    n_tokens: int | None = None,
    keep: Keep = lambda _, compute: compute(),
    progress: Progress | None = None,
) -> Observed:
    """Every candidate of every query of a collection.

    With `n_tokens` a query is cut to that many tokens before the model reads it, and shorter
    queries are left out (Lu et al., 2025, section 5: 5 of them). `keep` may store a chunk of
    queries and give it back when asked again: `partial(findings.chunk, "observed")` makes a run
    that goes on where it was interrupted. `progress(done, total)` counts queries.

    Raises:
        NotMeasurable: no query has candidates, or none is as long as `n_tokens`.
    """
    qids = [qid for qid, docids in collection.candidates.items() if docids]
    frames = []
    for start in range(0, len(qids), QUERIES_PER_CHUNK):
        chosen = qids[start : start + QUERIES_PER_CHUNK]

        def compute(chosen: Sequence[str] = chosen) -> pd.DataFrame:
            asked = [(qid, docid) for qid in chosen for docid in collection.candidates[qid]]
            queries = [collection.queries[qid] for qid, _ in asked]
            pairs = model.pairs(queries, [collection.documents[docid] for _, docid in asked])
            if n_tokens is not None:
                long = (pairs.where("query").sum(dim=1) >= n_tokens).nonzero().flatten().tolist()
                if not long:
                    return pd.DataFrame()
                asked, pairs = [asked[i] for i in long], first_tokens(pairs.take(long), n_tokens)
            by_query, by_document = zip(*asked, strict=True)
            return observe(model, pairs, heads, qid=by_query, docid=by_document).frame()

        frames.append(keep(f"{start}", compute))
        if progress is not None:
            progress(min(start + QUERIES_PER_CHUNK, len(qids)), len(qids))
    if not any(len(frame) for frame in frames):
        long = "" if n_tokens is None else f" and {n_tokens} tokens"
        raise NotMeasurable(f"no query of collection {collection.name!r} has candidates{long}")
    return Observed.of_frame(pd.concat([f for f in frames if len(f)], ignore_index=True))


def written(head: Unit) -> str:
    """A head as papers write it: "5.9"."""
    return f"{head.site.layer}.{dict(head.coordinates)['head']}"


def _observed(
    model: Hooked,
    pairs: Pairs,
    heads: Sequence[Unit],
    src: Names,
    names: tuple[np.ndarray, np.ndarray],
) -> Observed:
    """One batch, in one pass."""
    query, document = pairs.where("query"), pairs.where("document")
    read = pairs.where(*([src] if isinstance(src, str) else src))
    n = query.sum(dim=1)
    # query tokens first, in their order; what follows them is masked
    place = query.long().argsort(dim=1, descending=True, stable=True)[:, : int(n.max())]
    is_token = torch.arange(place.shape[1], device=n.device) < n[:, None]
    is_read = document_reads(model, pairs)  # as in `soft_tf`
    soft: dict[int, Float[Tensor, "pair place"]] = {}  # by the place of the head in `heads`

    def count(layer: int | None) -> Callable[[Tensor], None]:
        mine = [i for i, head in enumerate(heads) if head.site.layer == layer]
        index = torch.tensor([int(dict(heads[i].coordinates)["head"]) for i in mine])

        def add(pattern: Tensor) -> None:
            pattern = pattern.mT if is_read else pattern
            total = (pattern[:, index] * read[:, None, None, :]).sum(dim=-1)
            for i, of_head in zip(mine, total.unbind(dim=1), strict=True):
                soft[i] = of_head.gather(1, place) * is_token

        return add

    layers = sorted({head.site.layer for head in heads}, key=lambda layer: layer or 0)
    with model.tapped([(Site("pattern", layer), count(layer)) for layer in layers]):
        score = model(pairs)
    token = pairs.token.gather(1, place).masked_fill(~is_token, NONE)
    tf = ((token[:, :, None] == pairs.token[:, None, :]) & document[:, None, :]).sum(dim=-1)
    soft_tf = torch.stack([soft[i] for i in range(len(heads))], dim=-1)
    return Observed(
        tuple(written(head) for head in heads),
        *names,
        score.double().cpu().numpy(),
        document.sum(dim=1).cpu().numpy(),
        token.cpu().numpy(),
        tf.cpu().numpy(),
        soft_tf.double().cpu().numpy(),
    )


def _batches(model: Hooked, pairs: Pairs, memory_budget: int | None) -> Iterator[list[int]]:
    """Pairs of like length, as many at once as the device likes and the memory holds."""
    size = Footprint.of(model, pairs, memory_budget)
    at_most = size.fit(len(pairs), each=size.block, what="observing one pair")
    order = pairs.lengths.argsort(descending=True, stable=True).tolist()
    lengths = pairs.lengths.tolist()
    start = 0
    while start < len(order):
        n = min(at_most, liked(lengths[order[start]], size.device.type))
        yield order[start : start + n]
        start += n
