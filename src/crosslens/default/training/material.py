"""The training material: which queries meet which documents, and what a judge's grade adds.

Where there are labels, a query's judged list is a pool. Where there are none, pools are made for
pseudo-queries, and questions of all collections are asked of the web passages.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from ...corpora.collection import Collection
from .collection import bucket, part
from .heldout import trainable
from .phrases import windows
from .pools import Pools
from .shelf import cut, LARGE, LONGEST_QUERY, Shelf, SMALL
from .teacher import BiEncoder


LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Use:
    """How a collection enters the material.

    `bonus` is the logits a grade adds. One block of its questions in `every` is kept, and so many
    `documents`; `pseudo` is how many pseudo-queries these are given.
    """

    bonus: float
    every: int = 1
    pseudo: int = 0
    documents: int = 20_000


USES: Final[Mapping[str, Use]] = {
    "wikiqa": Use(bonus=2.5),
    "trec-qa": Use(bonus=2.5),
    "medquad-pairs": Use(bonus=2.0, every=6, documents=2500),
    "scifact": Use(bonus=2.0, pseudo=500, documents=1500),
    "vaswani-npl": Use(bonus=1.5, pseudo=1000, documents=2500),
    "mediqa2019-qa": Use(bonus=0.8, every=2, documents=1500),
    "qatarliving-cqa": Use(bonus=0.6, every=4, documents=2500),
}
# the web passages are one set of documents: pseudo-queries and real questions meet all of them
WEB: Final[Mapping[str, Use]] = {
    "trec-dl-2020": Use(bonus=1.2, pseudo=7000),
    "msmarco-tfc1-unlabelled": Use(bonus=0.0, pseudo=7000),
}


def build(
    collections: Mapping[str, Collection], encoder: BiEncoder, seed: int, folder: Path
) -> Pools:
    """Every pool to train on, from whichever of the known collections are there.

    Each collection's pools are kept in `folder` and not made again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    allowed = trainable(collections)
    makers: dict[str, Callable[[np.random.Generator], Pools]] = {
        name: partial(_own, sample, use, encoder)
        for name, use in USES.items()
        if name in allowed and (sample := _sample(allowed[name], use))
    }
    web = [(allowed[name], use) for name, use in WEB.items() if name in allowed]
    if web:
        asked = [text for name in USES if name in allowed for text in _short(allowed[name])]
        makers = {"web": partial(_web, web, asked, encoder), **makers}
    parts = []
    for name, make in makers.items():
        kept = folder / f"{name}.npz"
        if not kept.is_file():
            make(np.random.default_rng([seed, len(parts)])).save(kept)
        parts.append(Pools.load(kept))
        LOG.info("%s: %d pools", name, len(parts[-1].pools))
    return Pools.join(parts)


def _sample(collection: Collection, use: Use) -> Collection | None:
    """One block of questions in `every` and no more documents than asked for, the judged first."""
    kept = part(collection, query=lambda qid: bucket(qid.split("_")[0], use.every) == 0)
    if kept is None:
        return None
    named = dict.fromkeys(d for docids in kept.candidates.values() for d in docids)
    others = sorted(kept.documents.keys() - named.keys(), key=lambda d: bucket(d, 1 << 30))
    chosen = set([*named, *others][: use.documents])
    return part(kept, document=chosen.__contains__)


def _short(collection: Collection) -> list[str]:
    """Questions that could be typed into a search box, at most a thousand."""
    texts = dict.fromkeys(t for t in collection.queries.values() if len(t.split()) <= 12)
    return sorted(texts, key=lambda text: bucket(text, 1 << 30))[:1000]


def _own(
    collection: Collection, use: Use, encoder: BiEncoder, random: np.random.Generator
) -> Pools:
    """A collection's own questions and pseudo-queries over its own documents."""
    shelf = Shelf.of(collection.documents, encoder)
    texts = {qid: cut(text, LONGEST_QUERY) for qid, text in collection.queries.items()}
    pools = [
        shelf.judged(collection, qid, judgement, use.bonus, random)
        for qid, judgement in zip(texts, shelf.teacher.judge(list(texts.values())), strict=True)
    ]
    pools.extend(shelf.pseudo(use.pseudo, f"{collection.name}-pseudo", random))
    return shelf.pools(pools)


def _web(
    parts: Sequence[tuple[Collection, Use]],
    questions: Sequence[str],
    encoder: BiEncoder,
    random: np.random.Generator,
) -> Pools:
    """Pools over the web passages, and over windows of them, which are short and so cheap."""
    documents: dict[str, str] = {}
    for collection, _ in parts:
        documents.update(collection.documents)
    n_pseudo = sum(use.pseudo for _, use in parts)
    shelf = Shelf.of(documents, encoder)
    drafts = shelf.pseudo(n_pseudo, "web-pseudo", random)
    for collection, use in parts:
        texts = list(collection.queries.values())
        for qid, judgement in zip(collection.queries, shelf.teacher.judge(texts), strict=True):
            drafts.append(shelf.judged(collection, qid, judgement, use.bonus, random))
            query = collection.queries[qid]
            drafts.append(shelf.retrieved(query, judgement, LARGE, "web-questions", random))
    drafts.extend(
        shelf.retrieved(query, judgement, SMALL, "web-questions", random)
        for query, judgement in zip(questions, shelf.teacher.judge(questions), strict=True)
    )

    pieces = [piece for text in documents.values() for piece in windows(text)]
    some = random.permutation(len(pieces))[: len(documents)]
    short = Shelf.of({str(i): pieces[i] for i in some}, encoder)
    return Pools.join(
        [shelf.pools(drafts), short.pools(short.pseudo(n_pseudo, "web-windows", random))]
    )
