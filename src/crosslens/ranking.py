"""Rankings: candidates ordered by a score, saved and read as TREC runs."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from ir_measures import ScoredDoc

from .corpora.collection import Collection
from .corpora.files import lines
from .corpora.trec import of_one_length, scored as run_line
from .writing import write_whole


# the scores of some documents, as texts, for a query
Score = Callable[[str, Sequence[str]], Iterable[float]]


@dataclass(frozen=True, repr=False)
class Run(Mapping[str, tuple[ScoredDoc, ...]]):
    """Query id to its ranked documents, best first, ties by document id."""

    rankings: Mapping[str, tuple[ScoredDoc, ...]]
    name: str = "crosslens"

    @classmethod
    def of(cls, scored: Iterable[ScoredDoc], name: str = "crosslens") -> "Run":
        """Scored documents, ranked.

        Raises:
            ValueError: a score that is not a number, or a document scored twice for a query.
        """
        by_query: dict[str, dict[str, ScoredDoc]] = {}
        for each in scored:
            if not math.isfinite(each.score):
                raise ValueError(
                    f"run {name!r}: the score of document {each.doc_id!r} for query "
                    f"{each.query_id!r} is {each.score}, expected a finite number"
                )
            ranked = by_query.setdefault(each.query_id, {})
            if each.doc_id in ranked:
                raise ValueError(
                    f"run {name!r}: document {each.doc_id!r} is scored twice for query "
                    f"{each.query_id!r}"
                )
            ranked[each.doc_id] = each
        return cls(
            {
                qid: tuple(sorted(ranked.values(), key=lambda each: (-each.score, each.doc_id)))
                for qid, ranked in by_query.items()
            },
            name,
        )

    def __getitem__(self, qid: str) -> tuple[ScoredDoc, ...]:
        return self.rankings[qid]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rankings)

    def __len__(self) -> int:
        return len(self.rankings)

    def __repr__(self) -> str:
        n_documents = sum(map(len, self.rankings.values()))
        return f"Run({self.name!r}: {len(self)} queries, {n_documents:,} scored documents)"

    def frame(self) -> pd.DataFrame:
        """One row per document: qid, docid, rank (from 1), score."""
        rows = [
            (each.query_id, each.doc_id, rank, float(each.score))
            for ranked in self.rankings.values()
            for rank, each in enumerate(ranked, start=1)
        ]
        return pd.DataFrame(rows, columns=["qid", "docid", "rank", "score"])

    @classmethod
    def of_frame(cls, frame: pd.DataFrame, name: str = "crosslens") -> "Run":
        """From a data frame with the columns qid, docid and score; ids are texts.

        Raises:
            ValueError: a column is missing, or as `of`.
            TypeError: an id that is no text.
        """
        missing = [column for column in ("qid", "docid", "score") if column not in frame]
        if missing:
            raise ValueError(f"the frame lacks {missing}; it has {list(frame.columns)}")
        scored = []
        for qid, docid, score in frame[["qid", "docid", "score"]].itertuples(index=False):
            if not isinstance(qid, str) or not isinstance(docid, str):
                raise TypeError(f"query {qid!r} and document {docid!r}: ids are texts")
            scored.append(ScoredDoc(qid, docid, float(score)))
        return cls.of(scored, name)

    def save(self, path: str | Path) -> None:
        """Written as a TREC run: `qid Q0 docid rank score tag`, scores exact.

        Raises:
            ValueError: an id or the name of the run holds white space.
        """
        write_whole(Path(path), self.lines().encode())

    def lines(self) -> str:
        """The lines that `save` writes.

        Raises:
            ValueError: an id or the name of the run holds white space.
        """
        rows = [
            (each.query_id, "Q0", each.doc_id, f"{rank}", repr(float(each.score)), self.name)
            for ranked in self.rankings.values()
            for rank, each in enumerate(ranked, start=1)
        ]
        for row in rows:
            require_fields(*row)
        return "".join(" ".join(row) + "\n" for row in rows)

    @classmethod
    def load(cls, path: str | Path) -> "Run":
        """Read from a TREC run, gzipped or not; the order is that of the scores.

        Runs of MS MARCO have three columns (qid, docid, rank): the score is then minus the rank.

        Raises:
            ValueError: names the file and the line that is neither, a score that is no number, or
                a document that is ranked twice for a query.
        """
        scored = []
        name = "crosslens"
        first: dict[tuple[str, str], int] = {}
        for line in of_one_length(lines(Path(path))):
            qid, docid, score, tag = run_line(line)
            if (before := first.setdefault((qid, docid), line.number)) != line.number:
                line.refuse(f"query {qid!r} and document {docid!r} were ranked in line {before}")
            scored.append(ScoredDoc(qid, docid, score))
            name = tag or name
        return cls.of(scored, name)


def require_fields(*texts: str) -> None:
    """Refuse what cannot be a field of a TREC run.

    Raises:
        ValueError: a text that holds white space, or nothing.
    """
    for text in texts:
        if text.split() != [text]:
            raise ValueError(f"a TREC run separates its fields by white space; {text!r} has some")


def rerank(
    score: Score,
    collection: Collection,
    *,
    name: str = "crosslens",
    progress: Callable[[Sequence[str]], Iterable[str]] | None = None,
) -> Run:
    """The candidates of every query, ordered by `score(query, documents)`.

    Args:
        progress: wraps the query ids to show how far it is, as `tqdm` does.

    Raises:
        ValueError: the score gave fewer or more values than there are documents, or a nan.
    """
    scored: list[ScoredDoc] = []
    qids = list(collection.candidates)
    for qid in progress(qids) if progress else qids:
        docids = collection.candidates[qid]
        documents = [collection.documents[docid] for docid in docids]
        values = list(score(collection.queries[qid], documents))
        if len(values) != len(docids):
            raise ValueError(f"query {qid!r}: {len(values)} scores for {len(docids)} documents")
        scored += [ScoredDoc(qid, *each) for each in zip(docids, map(float, values), strict=True)]
    return Run.of(scored, name)
