"""Documents that the teacher has read, and the pools drawn from them.

A query meets the documents that the teacher puts on top, those that BM25 puts on top (hard
negatives share words, not meaning), and a few from further down.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ...corpora.collection import Collection
from .phrases import pseudo_query, Rarity
from .pools import Pool, Pools
from .teacher import BiEncoder, Judgement, Teacher


# a blend of 0.1 more is 1.2 logits more: a list's targets then spread over a few documents
LOGITS_PER_BLEND: Final = 12.0
LONGEST_DOCUMENT: Final = 110  # words; more than a pair can hold in training
LONGEST_QUERY: Final = 40


class Portions(NamedTuple):
    """How many documents a pool takes from each place of a ranking."""

    top: int
    near: int
    bm25: int
    anywhere: int


SMALL: Final = Portions(4, 3, 3, 2)
LARGE: Final = Portions(10, 8, 8, 6)


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
        texts = tuple(cut(text, LONGEST_DOCUMENT) for text in documents.values())
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
        judged = [place[docid] for docid in collection.candidates.get(qid, ()) if docid in place]
        found = judged
        if len(judged) < 32:
            seen = set(judged)
            more = select(judgement, SMALL if len(judged) > 4 else LARGE, random)
            found = judged + [i for i in more if i not in seen]
        grades = collection.labels.get(qid, {})
        gained = np.array([grades.get(self.ids[i], 0) for i in found])
        at = np.array(found, dtype=np.int64)
        targets = LOGITS_PER_BLEND * judgement.blend[at] + bonus * gained
        return Draft(cut(collection.queries[qid], LONGEST_QUERY), at, targets, collection.name)

    def retrieved(
        self,
        text: str,
        judgement: Judgement,
        portions: Portions,
        source: str,
        random: np.random.Generator,
    ) -> Draft:
        at = np.array(select(judgement, portions, random), dtype=np.int64)
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


def select(judgement: Judgement, portions: Portions, random: np.random.Generator) -> list[int]:
    """Documents from the top, from near it, from BM25's top and from anywhere, none twice."""
    n = len(judgement.blend)
    depth = min(n, 8 * (portions.top + portions.near))
    ranked = largest(judgement.blend, depth)
    chosen: dict[int, None] = {}
    for source, wanted in (
        (ranked[: 2 * portions.top], portions.top),
        (ranked, portions.near),
        (largest(judgement.bm25, min(n, 8 * portions.bm25)), portions.bm25),
        (random.integers(n, size=4 * portions.anywhere), portions.anywhere),
    ):
        fresh = [i for i in random.permutation(source).tolist() if i not in chosen]
        chosen.update(dict.fromkeys(list(dict.fromkeys(fresh))[:wanted]))
    return list(chosen)


def largest(values: Float[np.ndarray, " doc"], n: int) -> Int[np.ndarray, " best"]:
    best = np.argpartition(-values, n - 1)[:n]
    return best[np.argsort(-values[best], kind="stable")]


def cut(text: str, longest: int) -> str:
    return " ".join(text.split()[:longest])
