"""The training material: which queries meet which documents, and what the judges' grades add.

Real and pseudo-queries meet three kinds of documents: those the teacher puts on top, those BM25
puts on top (hard negatives share words, not meaning), and a few from further down. Where there are
labels, a query's own judged list is a pool too.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .collection import bucket, Collection, normalised
from .phrases import pseudo_query, Rarity, windows
from .pools import Pool, Pools
from .teacher import BiEncoder, Judgement, Teacher


LOG = logging.getLogger(__name__)

# a blend of 0.1 more is 1.2 logits more: a list's targets then spread over a few documents
LOGITS_PER_BLEND: Final = 12.0


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
TESTS: Final = ("trec-dl-2019", "cranfield")
LONGEST_DOCUMENT: Final = 110  # words; what a pair of 128 tokens can hold
LONGEST_QUERY: Final = 40


class Portions(NamedTuple):
    """How many documents a pool takes from each place of a ranking."""

    top: int
    near: int
    bm25: int
    anywhere: int


SMALL: Final = Portions(4, 3, 3, 2)
LARGE: Final = Portions(10, 8, 8, 6)


def is_development(name: str, qid: str) -> bool:
    """Held out of training to choose among recipes: a quarter of DL 2020, an eighth of WikiQA."""
    if name == "trec-dl-2020":
        return bucket(qid, 4) == 0
    return name == "wikiqa" and bucket(qid, 8) == 2


def is_test(name: str, qid: str) -> bool:
    """Held out for good: one half of WikiQA, all of TREC DL 2019 and Cranfield."""
    return name in TESTS or (name == "wikiqa" and bucket(qid, 2) == 1)


def trainable(collections: Mapping[str, Collection]) -> dict[str, Collection]:
    """What training may see: no held-out query, and no text that one of them is judged on."""
    held_out: set[str] = set()
    kept: dict[str, Collection] = {}
    for name, collection in collections.items():
        if name in TESTS:
            held_out |= collection.normalised_texts()
            continue
        aside = collection.only(lambda q, n=name: is_development(n, q) or is_test(n, q))
        held_out |= {normalised(text) for text in aside.queries.values()}
        held_out |= {
            normalised(collection.documents[docid])
            for docids in aside.candidates.values()
            for docid in docids
            if docid in collection.documents
        }
        kept[name] = collection.only(lambda q, n=name: not (is_development(n, q) or is_test(n, q)))
    return {name: collection.without(held_out) for name, collection in kept.items()}


def build(
    collections: Mapping[str, Collection], encoder: BiEncoder, seed: int, folder: Path
) -> Pools:
    """Every pool to train on, from whichever of the known collections are there.

    Each collection's pools are kept in `folder` and not made again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    allowed = trainable(collections)
    makers: dict[str, Callable[[np.random.Generator], Pools]] = {
        name: partial(_own, _sample(allowed[name], use), use, encoder)
        for name, use in USES.items()
        if name in allowed
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


def _sample(collection: Collection, use: Use) -> Collection:
    """One block of questions in `every` and no more documents than asked for, the judged first."""
    kept = collection.only(lambda qid: bucket(qid.split("_")[0], use.every) == 0)
    named = dict.fromkeys(d for docids in kept.candidates.values() for d in docids)
    others = sorted(kept.documents.keys() - named.keys(), key=lambda d: bucket(d, 1 << 30))
    chosen = [*named, *others][: use.documents]
    return replace(kept, documents={d: kept.documents[d] for d in chosen if d in kept.documents})


def _short(collection: Collection) -> list[str]:
    """Questions that could be typed into a search box, at most a thousand."""
    texts = dict.fromkeys(t for t in collection.queries.values() if len(t.split()) <= 12)
    return sorted(texts, key=lambda text: bucket(text, 1 << 30))[:1000]


def _own(
    collection: Collection, use: Use, encoder: BiEncoder, random: np.random.Generator
) -> Pools:
    """A collection's own questions and pseudo-queries over its own documents."""
    shelf = Shelf.of(collection.documents, encoder)
    texts = {qid: _cut(text, LONGEST_QUERY) for qid, text in collection.queries.items()}
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


class Draft(NamedTuple):
    """A pool whose query is still text."""

    query: str
    documents: Int[np.ndarray, " doc"]
    targets: Float[np.ndarray, " doc"]
    source: str


@dataclass(frozen=True)
class Shelf:
    """Documents with the teacher that has read them."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    teacher: Teacher
    rarity: Rarity

    @classmethod
    def of(cls, documents: Mapping[str, str], encoder: BiEncoder) -> "Shelf":
        texts = tuple(_cut(text, LONGEST_DOCUMENT) for text in documents.values())
        return cls(tuple(documents), texts, Teacher(encoder, texts), Rarity.of(texts))

    def judged(
        self,
        collection: Collection,
        qid: str,
        judgement: Judgement,
        bonus: float,
        random: np.random.Generator,
    ) -> Draft:
        """The judged documents and, where the judges saw few, retrieved ones with no bonus."""
        place = self._place
        judged = [place[docid] for docid in collection.candidates[qid] if docid in place]
        found = judged
        if len(judged) < 32:
            seen = set(judged)
            more = _select(judgement, SMALL if len(judged) > 4 else LARGE, random)
            found = judged + [i for i in more if i not in seen]
        grades = collection.grades.get(qid, {})
        gained = np.array([grades.get(self.ids[i], 0) for i in found])
        at = np.array(found, dtype=np.int64)
        targets = LOGITS_PER_BLEND * judgement.blend[at] + bonus * gained
        return Draft(_cut(collection.queries[qid], LONGEST_QUERY), at, targets, collection.name)

    def retrieved(
        self,
        text: str,
        judgement: Judgement,
        portions: Portions,
        source: str,
        random: np.random.Generator,
    ) -> Draft:
        at = np.array(_select(judgement, portions, random), dtype=np.int64)
        return Draft(text, at, LOGITS_PER_BLEND * judgement.blend[at], source)

    def pseudo(self, wanted: int, source: str, random: np.random.Generator) -> list[Draft]:
        """Pools of pseudo-queries, each drawn from another document."""
        chosen = random.permutation(len(self.texts))[:wanted]
        made = [pseudo_query(self.texts[i], self.rarity, random) for i in chosen]
        queries = [query for query in dict.fromkeys(made) if query]
        return [
            self.retrieved(query, judgement, SMALL, source, random)
            for query, judgement in zip(queries, self.teacher.judge(queries), strict=True)
        ]

    def pools(self, drafts: Sequence[Draft]) -> Pools:
        """`drafts` over one table: this shelf's documents, then the queries."""
        n = len(self.texts)
        pools = tuple(
            Pool(n + i, draft.documents, draft.targets, draft.source)
            for i, draft in enumerate(drafts)
            if len(draft.documents) > 1
        )
        return Pools((*self.texts, *(draft.query for draft in drafts)), pools)

    @cached_property
    def _place(self) -> dict[str, int]:
        return {docid: i for i, docid in enumerate(self.ids)}


def _select(judgement: Judgement, portions: Portions, random: np.random.Generator) -> list[int]:
    """Documents from the top, from near it, from BM25's top and from anywhere, none twice."""
    n = len(judgement.blend)
    depth = min(n, 8 * (portions.top + portions.near))
    ranked = _largest(judgement.blend, depth)
    chosen: dict[int, None] = {}
    for source, wanted in (
        (ranked[: 2 * portions.top], portions.top),
        (ranked, portions.near),
        (_largest(judgement.bm25, min(n, 8 * portions.bm25)), portions.bm25),
        (random.integers(n, size=4 * portions.anywhere), portions.anywhere),
    ):
        fresh = [i for i in random.permutation(source).tolist() if i not in chosen]
        chosen.update(dict.fromkeys(list(dict.fromkeys(fresh))[:wanted]))
    return list(chosen)


def _largest(values: Float[np.ndarray, " doc"], n: int) -> Int[np.ndarray, " best"]:
    best = np.argpartition(-values, n - 1)[:n]
    return best[np.argsort(-values[best], kind="stable")]


def _cut(text: str, longest: int) -> str:
    return " ".join(text.split()[:longest])
