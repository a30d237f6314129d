"""Which lists an epoch is made of: first short windows, then whole passages and labels.

What a cross-encoder has to learn from nothing is to compare two texts; sentences teach that at a
third of the price of passages.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from .pools import Pool, Pools


# lists of each source in one epoch
SHORT: Final[Mapping[str, int]] = {
    "web-windows": 2000,
    "trec-qa": 200,
    "wikiqa": 140,
    "trec-dl-2020": 120,
}
FULL: Final[Mapping[str, int]] = {
    "web-pseudo": 1000,
    "web-windows": 400,
    "web-questions": 300,
    "trec-dl-2020": 600,
    "msmarco-tfc1-unlabelled": 400,
    "trec-qa": 150,
    "wikiqa": 140,
    "medquad-pairs": 120,
    "scifact": 60,
    "scifact-pseudo": 40,
    "vaswani-npl": 60,
    "vaswani-npl-pseudo": 60,
    "mediqa2019-qa": 30,
    "qatarliving-cqa": 30,
}


@dataclass(frozen=True)
class List:
    """Some documents of a pool, to be scored together."""

    query: int
    documents: Int[np.ndarray, " doc"]
    targets: Float[np.ndarray, " doc"]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        return [(self.query, int(document)) for document in self.documents]


@dataclass(frozen=True)
class Plan:
    """How pools become epochs: the same seed and epoch give the same batches."""

    pools: Pools
    seed: int
    epochs: int
    short_epochs: int = 2
    documents: int = 12
    pairs: int = 60
    share: float = 1.0

    def epoch(self, number: int) -> list[list[List]]:
        """The batches of epoch `number`, each of about `pairs` pairs."""
        diet = SHORT if number < self.short_epochs else FULL
        random = np.random.default_rng([self.seed, number])
        by_source: dict[str, list[Pool]] = {}
        for pool in self.pools.pools:
            by_source.setdefault(pool.source, []).append(pool)
        lists = [
            sample(pool, self.documents, random)
            for source, wanted in diet.items()
            if source in by_source
            for pool in self._visits(source, by_source[source], wanted, number)
        ]
        batches: list[list[List]] = [[]]
        for i in random.permutation(len(lists)):
            if sum(len(a_list.documents) for a_list in batches[-1]) >= self.pairs:
                batches.append([])
            batches[-1].append(lists[i])
        return batches

    def _visits(
        self, source: str, pools: Sequence[Pool], wanted: int, number: int
    ) -> Iterator[Pool]:
        """The pools whose turn it is: no pool comes again before every other has come."""
        wanted = max(1, round(self.share * wanted))
        first = number * wanted
        for turn in range(first, first + wanted):
            lap, at = divmod(turn, len(pools))
            order = np.random.default_rng([self.seed, lap, len(source)]).permutation(len(pools))
            yield pools[order[at]]


def sample(pool: Pool, wanted: int, random: np.random.Generator) -> List:
    """`wanted` documents of `pool`, one from each stretch of its ranking, more from the top."""
    n = len(pool.documents)
    ranked = np.argsort(-pool.targets, kind="stable")
    if n > wanted:
        # stretches that widen as the square: half of a list comes from the first quarter
        places = ((np.arange(wanted) + random.random(wanted)) / wanted) ** 2 * n
        ranked = ranked[np.unique(places.astype(int))]
    return List(pool.query, pool.documents[ranked], pool.targets[ranked])
