"""Collections as folders of tab-separated files, and which queries training may see."""

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Collection:
    """Queries and documents by id, with the grades that judges gave, where they did.

    `candidates` are the documents to rank for a query: the judged ones, or a given list.
    """

    name: str
    queries: dict[str, str]
    documents: dict[str, str]
    grades: dict[str, dict[str, int]]
    candidates: dict[str, list[str]]

    def only(self, wanted: Callable[[str], bool]) -> "Collection":
        """The queries whose id is `wanted`, over the same documents."""
        return replace(
            self,
            queries={q: text for q, text in self.queries.items() if wanted(q)},
            grades={q: of_query for q, of_query in self.grades.items() if wanted(q)},
            candidates={q: docids for q, docids in self.candidates.items() if wanted(q)},
        )

    def without(self, texts: set[str]) -> "Collection":
        """Every document and query but those that read like one of the normalised `texts`."""
        documents = {k: v for k, v in self.documents.items() if normalised(v) not in texts}
        queries = {k: v for k, v in self.queries.items() if normalised(v) not in texts}
        candidates = {q: [d for d in self.candidates[q] if d in documents] for q in queries}
        return replace(self, queries=queries, documents=documents, candidates=candidates)

    def normalised_texts(self) -> set[str]:
        return {normalised(text) for text in (*self.queries.values(), *self.documents.values())}


def normalised(text: str) -> str:
    """`text` without the differences in case, space and punctuation that hide a duplicate."""
    return " ".join(re.findall(r"\w+", text.lower()))


def bucket(qid: str, buckets: int) -> int:
    """A fixed, evenly spread number below `buckets` for a query id, on every machine alike."""
    return zlib.crc32(qid.encode()) % buckets


def read(folder: Path) -> Collection:
    """The collection in `folder`: queries, docs, and what there is of qrels and candidates.

    A folder of `pairs.tsv.gz` (id, source, type, focus, question, answer) reads as questions with
    one right answer each.
    """
    if (folder / "pairs.tsv.gz").is_file():
        return _from_pairs(folder)
    missing = [n for n in ("queries.tsv.gz", "docs.tsv.gz") if not (folder / n).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} has no {' and no '.join(missing)}; a collection is a folder with "
            "queries.tsv.gz and docs.tsv.gz, or with pairs.tsv.gz"
        )
    queries = {qid: text for qid, text in _rows(folder / "queries.tsv.gz")}
    documents = {docid: text for docid, text in _rows(folder / "docs.tsv.gz") if text.strip()}
    grades: dict[str, dict[str, int]] = {qid: {} for qid in queries}
    candidates: dict[str, list[str]] = {qid: [] for qid in queries}
    if (folder / "qrels.txt.gz").is_file():
        for qid, _, docid, grade in _rows(folder / "qrels.txt.gz", separator=None):
            if qid in queries and docid in documents:
                grades[qid][docid] = max(0, int(grade))
                candidates[qid].append(docid)
    if (folder / "candidates.tsv.gz").is_file():
        for qid, docid, *_ in _rows(folder / "candidates.tsv.gz"):
            candidates[qid].append(docid)
    return Collection(folder.name, queries, documents, grades, candidates)


def _from_pairs(folder: Path) -> Collection:
    queries, documents, grades = {}, {}, {}
    for qid, _, _, _, question, answer in _rows(folder / "pairs.tsv.gz"):
        queries[qid] = question.replace(" (are)", "").replace(" ?", "?")
        documents[qid] = answer
        grades[qid] = {qid: 1}
    return Collection(folder.name, queries, documents, grades, {qid: [qid] for qid in queries})


def _rows(path: Path, separator: str | None = "\t") -> Iterator[list[str]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield line.rstrip("\n").split(separator)
