"""A folder in the style of BEIR: corpus.jsonl, queries.jsonl, qrels/test.tsv."""

import json
from collections.abc import Collection as Ids, Iterator
from pathlib import Path
from typing import Final

from . import records
from .candidates import pooled
from .collection import Collection
from .files import below, Line, lines, the_one
from .records import HALF, Judgement, Text
from .stored import documents_of


HEADER: Final = ["query-id", "corpus-id", "score"]


def is_beir(folder: Path) -> bool:
    return the_one(folder, ("corpus.jsonl", "corpus.jsonl.gz")) is not None


def read_beir(folder: Path, only: Ids[str] | None = None) -> Collection:
    """The collection in a BEIR folder: the queries that its test split judges.

    The test split, or the only one there is. A document is its title and its text. With `only`
    these documents, every query, and no candidates.

    Raises:
        FileNotFoundError: no queries or no judgements; says what was found.
        ValueError: a broken file, with its name and line.
    """
    corpus = the_one(folder, ("corpus.jsonl", "corpus.jsonl.gz"))
    asked = the_one(folder, ("queries.jsonl", "queries.jsonl.gz"))
    if corpus is None or asked is None:
        there = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise FileNotFoundError(
            f"{folder} lacks corpus.jsonl or queries.jsonl of a BEIR collection; it holds {there}"
        )
    documents = documents_of(corpus, texts(corpus), "beir", only)
    every_query, _ = records.queries(texts(asked))
    found = records.judgements(judged(split(folder)), every_query, documents)
    judges = {qrel.query_id for qrel in (*found.qrels, *found.without_text)}
    asked_of = judges if only is None else every_query
    made = Collection(
        name=folder.name,
        queries={qid: text for qid, text in every_query.items() if qid in asked_of},
        documents=documents.texts,
        qrels=found.qrels,
        source=str(folder),
        dropped=documents.dropped,
        without_text=found.without_text,
        other_queries=found.other_queries,
    )
    return made if documents.partial else pooled(made)


def split(folder: Path) -> Path:
    """The judgements to read: the test split, or the only one."""
    splits = sorted((folder / "qrels").glob("*.tsv*"))
    tests = [path for path in splits if path.name.startswith("test.")]
    if len(tests or splits) != 1:
        names = ", ".join(path.name for path in splits) or "nothing"
        raise FileNotFoundError(
            f"{folder / 'qrels'} must hold test.tsv or one other split; it holds {names}"
        )
    return (tests or splits)[0]


def texts(path: Path) -> Iterator[Text]:
    for line in lines(path):
        found = parsed(line)
        whole = (text_of(line, found, "title").strip(), text_of(line, found, "text").strip())
        yield Text(line, id_of(line, found), " ".join(part for part in whole if part))


def text_of(line: Line, found: dict[str, object], field: str) -> str:
    """The text of a field; null is none."""
    value = found.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        line.refuse(f"{field!r} is {json.dumps(value)[:40]}, expected a text or null")
    return value


def id_of(line: Line, found: dict[str, object]) -> str:
    """The id: a text, or a whole number as it is written."""
    value = found["_id"]
    if isinstance(value, bool) or not isinstance(value, str | int):
        line.refuse(f"'_id' is {json.dumps(value)[:40]}, expected a text")
    return str(value)


def parsed(line: Line) -> dict[str, object]:
    try:
        found = json.loads(line.text)
    except json.JSONDecodeError as error:
        line.refuse(f"not JSON ({error.msg} at column {error.colno})")
    except (ValueError, RecursionError) as error:  # a number or a nesting beyond Python's limits
        line.refuse(f"not JSON that can be read ({str(error):.80})")
    if not isinstance(found, dict) or not {"_id", "text"} <= found.keys():
        line.refuse('expected an object with "_id" and "text"')
    for field in ("_id", "title", "text"):
        if half := HALF.search(str(found.get(field))):
            line.refuse(
                f"{field!r} holds {half[0]!a}, half of a surrogate pair: it was cut or decoded "
                "wrongly"
            )
    return found


def judged(path: Path) -> Iterator[Judgement]:
    meaning, rows = f"3: {', '.join(HEADER)}", lines(path)
    for header in rows:
        if header.columns(3, 3, meaning) != HEADER:
            header.refuse(f"expected the header {' '.join(HEADER)}")
        for line in below(header, rows):
            yield Judgement(line, *line.columns(3, 3, meaning))
