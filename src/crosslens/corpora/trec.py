"""A folder in the style of TREC and MS MARCO: tab-separated texts, TREC judgements.

    queries.tsv                   qid, text [, subject area [, …]]
    docs.tsv or collection.tsv    docid, text [, type]
    qrels.txt or qrels*.tsv       qid 0 docid label
    candidates.tsv                qid, docid [, …]                       optional
    run.txt                       qid Q0 docid rank score tag            optional

Any of them may be gzipped (`.gz`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from . import records
from .candidates import pooled
from .collection import Collection
from .files import Line, lines, the_one
from .records import Candidate, Judgement, Text


QUERIES: Final = ("queries.tsv", "queries.tsv.gz")
DOCUMENTS: Final = ("docs.tsv", "docs.tsv.gz", "collection.tsv", "collection.tsv.gz")
QRELS: Final = ("qrels*.txt", "qrels*.tsv", "qrels*.gz")
CANDIDATES: Final = ("candidates.tsv", "candidates.tsv.gz", "run.txt", "run.txt.gz")


def read_trec(folder: Path) -> Collection:
    """The collection in a folder of TREC files.

    Raises:
        FileNotFoundError: no queries or no documents; says what was found.
        ValueError: a broken file, with its name and line.
    """
    query_texts, fields = records.queries(texts(the_file(folder, QUERIES), at_most=None))
    documents = records.documents(texts(the_file(folder, DOCUMENTS), at_most=3))
    qrels, chosen = the_one(folder, QRELS), the_one(folder, CANDIDATES)
    return pooled(
        Collection(
            name=folder.name,
            queries=query_texts,
            documents=documents.texts,
            qrels=records.judgements(judged(qrels), query_texts, documents) if qrels else (),
            candidates=(
                records.candidates(listed(chosen), query_texts, documents) if chosen else {}
            ),
            types=documents.kinds,
            fields=fields,
            source=str(folder),
            pool=chosen.name if chosen else "",
            dropped=documents.dropped,
        )
    )


def the_file(folder: Path, names: tuple[str, ...]) -> Path:
    found = the_one(folder, names)
    if found is None:
        there = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise FileNotFoundError(
            f"{folder} has no {' or '.join(names)}; it holds {there}. A collection is a folder "
            "with queries.tsv, docs.tsv and qrels.txt (or corpus.jsonl, queries.jsonl and "
            "qrels/test.tsv)"
        )
    return found


def texts(path: Path, at_most: int | None) -> Iterator[Text]:
    """Lines of an id, a text and perhaps more; as many columns in every line as in the first."""
    meaning = "an id and a text" + ("" if at_most is None else f", {at_most} columns at most")
    least, most = 2, at_most
    for line in lines(path):
        columns = line.columns(least, most, meaning)
        if most != least:
            least = most = len(columns)
            meaning = f"{least}, as in the first line"
        yield Text(line, columns[0], columns[1], columns[2] if len(columns) > 2 else "")


def judged(path: Path) -> Iterator[Judgement]:
    for line in lines(path):
        qid, _, docid, label = fields_of(line, 4, "qid 0 docid label")
        yield Judgement(line, qid, docid, label)


def listed(path: Path) -> Iterator[Candidate]:
    """The candidates a file lists: a TREC run, or a table of qid and docid."""
    is_run = path.name.startswith("run")
    for line in lines(path):
        if is_run:
            qid, _, docid, *_ = fields_of(line, 6, "qid Q0 docid rank score tag")
        else:
            qid, docid, *_ = line.columns(2, None, "at least 2: qid and docid")
        yield Candidate(line, qid, docid)


def fields_of(line: Line, n: int, expected: str) -> list[str]:
    """The line cut at white space, as TREC's own tools do."""
    found = line.text.split()
    if len(found) != n:
        line.refuse(f"found {len(found)} fields, expected {n}: {expected}")
    return found
