"""Judged queries with documents that were found relevant and others, for tests of relevance."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd

from crosslens import Collection, NotMeasurable, Pairs

from .evidence import Evidence
from .thresholds import QUERIES


EACH: Final = 2  # documents of the highest and of the lowest grade of a query


@dataclass(frozen=True, eq=False)
class Judged:
    """Queries with documents of their highest and of their lowest grade."""

    collection: Collection  # its candidates are the documents drawn
    qids: tuple[str, ...]

    @classmethod
    def of(cls, collection: Collection, n: int, seed: int) -> "Judged":
        """At most `n` queries that have documents of two grades, by seed.

        Raises:
            NotMeasurable: too few have; says how many.
        """
        if not collection.qrels:
            raise NotMeasurable(f"collection {collection.name!r} has no judgements")
        generator = np.random.default_rng(seed)
        drawn = {}
        for qid in sorted(collection.candidates):
            graded = grades(collection, qid)
            best, worst = max(graded.values(), default=0), min(graded.values(), default=0)
            if best > worst:
                ends = ([d for d, g in graded.items() if g == end] for end in (best, worst))
                drawn[qid] = tuple(
                    docids[i] for docids in ends for i in generator.permutation(len(docids))[:EACH]
                )
        if len(drawn) < 2 * QUERIES:
            raise NotMeasurable(
                f"collection {collection.name!r} has {len(drawn)} queries with documents of two "
                f"grades; {2 * QUERIES} are needed"
            )
        qids = [list(drawn)[i] for i in generator.permutation(len(drawn))[:n]]
        return cls(replace(collection, candidates=drawn), tuple(qids))

    def split(self, at: int) -> tuple["Judged", "Judged"]:
        """The first `at` queries, and the rest."""
        one, other = (replace(self, qids=part) for part in (self.qids[:at], self.qids[at:]))
        return one, other

    @property
    def extremes(self) -> "Judged":
        """One document of each grade per query: a flow costs much more than a score."""
        ends = {
            qid: (self.collection.candidates[qid][0], self.collection.candidates[qid][-1])
            for qid in self.qids
        }
        return replace(self, collection=replace(self.collection, candidates=ends))

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One row per query and document."""
        rows = []
        for qid in self.qids:
            graded = grades(self.collection, qid)
            rows += [(qid, docid, grade == max(graded.values())) for docid, grade in graded.items()]
        return pd.DataFrame(rows, columns=["qid", "docid", "is_relevant"])

    def pairs(self, evidence: Evidence) -> Pairs:
        """The pairs of `rows`, as the model reads them."""
        texts = self.collection
        return evidence.pairs(
            [texts.queries[qid] for qid in self.rows["qid"]],
            [texts.documents[docid] for docid in self.rows["docid"]],
        )


def grades(collection: Collection, qid: str) -> dict[str, int]:
    """The label of each of a query's candidates; what is not judged counts as 0."""
    labels = collection.labels.get(qid, {})
    return {docid: labels.get(docid, 0) for docid in collection.candidates[qid]}
