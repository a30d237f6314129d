"""A collection: queries, the documents that may answer them, and who judged what."""

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from ir_measures import Qrel, ScoredDoc

from ..not_measurable import NotMeasurable
from .stored import StoredTexts


@dataclass(frozen=True, repr=False)
class Collection:
    """Queries, documents, judgements and the candidates to rank: always consistent.

    Attributes:
        name: what reports call it.
        queries: query id to text; never empty.
        documents: document id to text; never empty.
        qrels: the judgements, as ir-measures reads them; there may be none.
        candidates: query id to the documents to rank for it, in a fixed order.
        types: document id to what kind of answer it is, in diagnostic sets; else empty.
        fields: query id to its subject area, where the files say; else empty.
        source: where the texts came from.
        pool: how the candidates were chosen.
        dropped: ids of the documents left out for having no text.
        without_text: judgements of documents that the collection lacks: no ranking can hold them,
            but the ideal ranking counts them, as trec_eval does.
        other_queries: how many judgements of other queries the files held.

    Raises:
        ValueError: no query, no document, a text without words, or a judgement or candidate that
            names a query or document which the collection lacks.
    """

    name: str
    queries: Mapping[str, str]
    documents: Mapping[str, str]
    qrels: tuple[Qrel, ...] = ()
    candidates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    pool: str = "given"
    dropped: tuple[str, ...] = ()
    without_text: tuple[Qrel, ...] = ()
    other_queries: int = 0

    def __post_init__(self) -> None:
        for kind, texts in (("query", self.queries), ("document", self.documents)):
            if not texts:
                raise ValueError(f"collection {self.name!r} has no {kind}")
            if isinstance(texts, StoredTexts):  # which were read through when they were stored
                continue
            for key, text in texts.items():
                if not text.strip():
                    raise ValueError(f"{kind} {key!r} of collection {self.name!r} has no text")
        for qid, docid in self._references():
            if qid not in self.queries:
                raise ValueError(f"collection {self.name!r} refers to query {qid!r} and lacks it")
            if docid not in self.documents:
                raise ValueError(
                    f"collection {self.name!r} refers to document {docid!r} and lacks it"
                )

        for qrel in self.without_text:
            if qrel.query_id not in self.queries or qrel.doc_id in self.documents:
                raise ValueError(
                    f"collection {self.name!r}: {qrel} is no judgement of a document without text"
                )

    def _references(self) -> Iterator[tuple[str, str]]:
        """Every query and document that a judgement or a candidate names."""
        for qrel in self.qrels:
            yield qrel.query_id, qrel.doc_id
        for qid, docids in self.candidates.items():
            for docid in docids:
                yield qid, docid

    def __repr__(self) -> str:
        left_out = f", {len(self.dropped)} without text left out" if self.dropped else ""
        if self.without_text:
            left_out += f", {len(self.without_text):,} judgements of documents without text"
        if self.other_queries:
            left_out += f", {self.other_queries:,} judgements of other queries left out"
        return (
            f"Collection({self.name!r}: {len(self.queries):,} queries, "
            f"{len(self.documents):,} documents, {len(self.qrels):,} judgements, "
            f"{self.n_pairs:,} candidates ({self.pool}){left_out})"
        )

    @property
    def judgements(self) -> tuple[Qrel, ...]:
        """All judgements of its queries, of documents with and without a text."""
        return (*self.qrels, *self.without_text)

    @property
    def n_pairs(self) -> int:
        """How many query-document pairs there are to score."""
        return sum(map(len, self.candidates.values()))

    @cached_property
    def labels(self) -> Mapping[str, Mapping[str, int]]:
        """Query id to the label of each judged document."""
        labels: dict[str, dict[str, int]] = defaultdict(dict)
        for qrel in self.qrels:
            labels[qrel.query_id][qrel.doc_id] = qrel.relevance
        return dict(labels)

    @property
    def documents_digest(self) -> str:
        """The checksum of documents that stay on disk; nothing of those in memory."""
        return self.documents.digest if isinstance(self.documents, StoredTexts) else ""

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of everything that can change a result.

        Texts, judgements and candidates count; names, sources and the order of lines in the
        files do not.
        """
        seen = hashlib.sha256()
        everything = (
            sorted(self.queries.items()),
            self.documents_digest or sorted(self.documents.items()),
            sorted((qrel.query_id, qrel.doc_id, qrel.relevance) for qrel in self.judgements),
            sorted((qid, sorted(docids)) for qid, docids in self.candidates.items()),
        )
        for part in everything:
            for item in part:
                seen.update(json.dumps(item).encode())  # JSON keeps neighbouring fields apart
            seen.update(b"\n")
        return seen.hexdigest()

    def graded(self, grade: Callable[[int], int]) -> "Collection":
        """The collection with other labels, as in `graded(lambda label: label > 0)`."""
        return replace(
            self,
            qrels=tuple(each._replace(relevance=int(grade(each.relevance))) for each in self.qrels),
            without_text=tuple(
                each._replace(relevance=int(grade(each.relevance))) for each in self.without_text
            ),
        )

    def with_candidates(
        self, run: Mapping[str, Iterable[ScoredDoc]], *, depth: int | None = None
    ) -> "Collection":
        """The collection with the documents of a run to rank, in the order of the run.

        Documents that were left out of the collection for having no text are left out here too.

        Args:
            depth: how many documents of each query, from the first, at most.

        Raises:
            ValueError: the run names queries or documents that the collection lacks, no document
                at all, or the depth is below 1. What stands below the depth is not looked at.
        """
        if depth is not None and depth < 1:
            raise ValueError(f"a ranking has a depth of at least 1, not {depth}")
        listed = {qid: [each.doc_id for each in ranked][:depth] for qid, ranked in run.items()}
        without_text = frozenset(self.dropped)
        unknown = {
            "queries": [qid for qid in listed if qid not in self.queries],
            "documents": [
                docid
                for docid in dict.fromkeys(docid for docids in listed.values() for docid in docids)
                if docid not in self.documents and docid not in without_text
            ],
        }
        wrong = [
            f"{len(ids):,} {kind} that it lacks ({', '.join(map(repr, ids[:3]))}"
            f"{', …' if len(ids) > 3 else ''})"
            for kind, ids in unknown.items()
            if ids
        ]
        if wrong:
            raise ValueError(
                f"the run is not of collection {self.name!r}: it names {' and '.join(wrong)}; give "
                "the collection that the run was made on, or take these lines out"
            )
        chosen = {
            qid: tuple(docid for docid in docids if docid in self.documents)
            for qid, docids in listed.items()
        }
        chosen = {qid: docids for qid, docids in chosen.items() if docids}
        if not chosen:
            raise ValueError("the run names no document that has a text: there is nothing to rank")
        pool = "a run" + (f", at most {depth} of each query" if depth else "")
        return replace(self, candidates=chosen, pool=pool)

    def sample(self, n_queries: int, n_per_query: int, seed: int = 0) -> "Collection":
        """At most `n_queries` queries with at most `n_per_query` candidates each, by seed.

        The candidates of a query are drawn from its labels in turn, the highest first, so that
        a small sample still has something to tell apart; those without a label count as 0.
        Judgements of documents that were not drawn are left out.

        Raises:
            NotMeasurable: no query has candidates.
            ValueError: a size below one.
        """
        if min(n_queries, n_per_query) < 1:
            raise ValueError(
                f"a sample needs at least one query and one document, not {n_queries} x "
                f"{n_per_query}"
            )
        ranked = sorted(qid for qid, docids in self.candidates.items() if docids)
        if not ranked:
            raise NotMeasurable(f"no query of collection {self.name!r} has candidates to sample")
        if len(ranked) > n_queries:
            ranked = sorted(random.Random(f"{seed}").sample(ranked, n_queries))
        drawn = {qid: self._draw(qid, n_per_query, seed) for qid in ranked}
        kept = {docid for docids in drawn.values() for docid in docids}

        def among(texts: Mapping[str, str], ids: set[str]) -> dict[str, str]:
            return {key: text for key, text in texts.items() if key in ids}

        return replace(
            self,
            queries=among(self.queries, set(ranked)),
            documents=among(self.documents, kept),
            qrels=tuple(
                each for each in self.qrels if each.doc_id in set(drawn.get(each.query_id, ()))
            ),
            without_text=(),
            candidates=drawn,
            types=among(self.types, kept),
            fields=among(self.fields, set(ranked)),
            pool=f"{self.pool}, sampled by label",
        )

    def _draw(self, qid: str, size: int, seed: int) -> tuple[str, ...]:
        """`size` candidates of one query, from its labels in turn."""
        # each query has its own generator, so that its draw does not depend on the others
        chance = random.Random(f"{seed} {qid}")
        labels = self.labels.get(qid, {})
        by_label: dict[int, list[str]] = defaultdict(list)
        for docid in sorted(self.candidates[qid]):
            by_label[labels.get(docid, 0)].append(docid)
        for docids in by_label.values():
            chance.shuffle(docids)
        turns = sorted(
            (turn, -label, docid)
            for label, docids in by_label.items()
            for turn, docid in enumerate(docids)
        )
        return tuple(docid for _, _, docid in turns[:size])
