"""A folder in the style of TREC and MS MARCO: tab-separated texts, TREC judgements.

    queries.tsv                   qid, text [, subject area [, …]]
    docs.tsv or collection.tsv    docid, text [, type]
    qrels.txt or qrels*.tsv       qid 0 docid label, of other queries and documents too
    candidates.tsv                qid, docid [, …]                       optional
    run.txt                       qid Q0 docid rank score tag            optional

Any of them may be gzipped (`.gz`), and may begin with a row of column names.
"""

import math
import re
from collections.abc import Collection as Ids, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from . import records
from .candidates import pooled
from .collection import Collection
from .files import below, Line, lines, the_one
from .records import Candidate, Judgement, Text
from .stored import documents_of


QUERIES: Final = ("queries.tsv", "queries.tsv.gz")
DOCUMENTS: Final = ("docs.tsv", "docs.tsv.gz", "collection.tsv", "collection.tsv.gz")
QRELS: Final = ("qrels*.txt", "qrels*.tsv", "qrels*.gz")
NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
IDS: Final = frozenset(
    "id _id qid query_id query-id queryid docid doc_id doc-id document_id did pid passage_id "
    "corpus-id corpus_id corpusid".split()
)
TEXT_COLUMNS: Final = IDS | {
    *("query", "question", "text", "title", "body", "document", "doc", "passage", "contents"),
    *("type", "kind", "field", "category", "topic", "subject", "area"),
}
PAIR_COLUMNS: Final = IDS | {
    *("0", "q0", "iter", "iteration", "label", "rel", "relevance", "grade", "score", "rank"),
    *("tag", "run", "system", "query", "document", "doc", "passage"),
}
CANDIDATES: Final = ("candidates.tsv", "candidates.tsv.gz", "run.txt", "run.txt.gz")


def read_trec(folder: Path, only: Ids[str] | None = None) -> Collection:
    """The collection in a folder of TREC files; with `only` these documents, and no candidates.

    Raises:
        FileNotFoundError: no queries or no documents; says what was found.
        ValueError: a broken file, with its name and line.
    """
    query_texts, fields = records.queries(texts(the_file(folder, QUERIES), at_most=None))
    corpus = the_file(folder, DOCUMENTS)
    documents = documents_of(corpus, texts(corpus, at_most=3), "trec", only)
    qrels = the_one(folder, QRELS)
    chosen = the_one(folder, CANDIDATES) if only is None else None
    judged_pairs = (
        records.judgements(judged(qrels), query_texts, documents)
        if qrels
        else records.NOTHING_JUDGED
    )
    found = Collection(
        name=folder.name,
        queries=query_texts,
        documents=documents.texts,
        qrels=judged_pairs.qrels,
        candidates=candidates_in(chosen, query_texts, documents) if chosen else {},
        types=documents.kinds,
        fields=fields,
        source=str(folder),
        pool=chosen.name if chosen else "",
        dropped=documents.dropped,
        without_text=judged_pairs.without_text,
        other_queries=judged_pairs.other_queries,
    )
    return found if documents.partial else pooled(found)


def candidates_in(
    path: Path, queries: Mapping[str, str], documents: records.Documents
) -> dict[str, tuple[str, ...]]:
    """The candidates that a file lists.

    Raises:
        ValueError: it lists none that has a text.
    """
    found = records.candidates(listed(path), queries, documents)
    if not found:
        raise ValueError(f"{path} lists no candidate that has a text; take the file out or mend it")
    return found


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
    for line in without_header(lines(path), TEXT_COLUMNS):
        columns = line.columns(least, most, meaning)
        if most != least:
            least = most = len(columns)
            meaning = f"{least}, as in the first line"
        yield Text(line, columns[0], columns[1], columns[2] if len(columns) > 2 else "")


def judged(path: Path) -> Iterator[Judgement]:
    for line in without_header(lines(path), PAIR_COLUMNS):
        qid, _, docid, label = fields_of(line, 4, "qid 0 docid label")
        yield Judgement(line, qid, docid, label)


def scored(line: Line) -> tuple[str, str, float, str]:
    """A line of a run: query, document, score and tag.

    TREC has six columns. Runs of MS MARCO have three, without a score: it is then minus the rank,
    and the tag is empty.
    """
    found = line.text.split()
    if len(found) == 3 and found[2].isascii() and found[2].isdigit():
        if len(found[2]) > 18:  # beyond what a float tells apart, or holds
            line.refuse(f"found the rank {found[2]:.20}…, expected a number of 18 digits at most")
        return found[0], found[1], -float(found[2]), ""
    if len(found) != 6:
        line.refuse(
            f"found {len(found)} fields, expected 6 (qid Q0 docid rank score tag) or 3 (qid docid "
            "rank)"
        )
    qid, _, docid, _, score, tag = found
    if not NUMBER.fullmatch(score) or not math.isfinite(float(score)):
        line.refuse(f"found the score {score!r}, expected a finite number")
    return qid, docid, float(score), tag


def of_one_length(read: Iterable[Line]) -> Iterator[Line]:
    """The lines of a run, with as many fields in each as in the first: scores are not ranks.

    Raises:
        ValueError: names the line that has three where others have six, or the reverse.
    """
    n = None
    for line in read:
        found = len(line.text.split())
        n = n or found
        if found != n and {found, n} == {3, 6}:
            line.refuse(
                f"found {found} fields, expected {n} as in the first line: ranks stand in one and "
                "scores in the other"
            )
        yield line


def listed(path: Path) -> Iterator[Candidate]:
    """The candidates a file lists: a TREC run, or a table of qid and docid."""
    is_run = path.name.startswith("run")
    found = without_header(lines(path), PAIR_COLUMNS)
    for line in of_one_length(found) if is_run else found:
        if is_run:
            qid, docid, *_ = scored(line)
        else:
            qid, docid, *_ = line.columns(2, None, "at least 2: qid and docid")
        yield Candidate(line, qid, docid)


def without_header(read: Iterable[Line], names: frozenset[str]) -> Iterator[Line]:
    """The lines but a first one whose fields are all names of columns; empty lines may precede.

    Raises:
        ValueError: there are no others.
    """
    rows = iter(read)
    for first in rows:
        fields = [each.strip().strip('"#').lower() for each in first.text.split()]
        if names.issuperset(fields):
            yield from below(first, rows)
        else:
            yield first
            yield from rows


def fields_of(line: Line, n: int, expected: str) -> list[str]:
    """The line cut at white space, as TREC's own tools do."""
    found = line.text.split()
    if len(found) != n:
        line.refuse(f"found {len(found)} fields, expected {n}: {expected}")
    return found
