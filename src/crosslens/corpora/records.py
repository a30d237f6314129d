"""From lines to texts, judgements and candidates, refusing what cannot be meant.

Every format reads its lines into these three shapes, so that an id given twice, a judgement of
a document that is not there or a label that is no number is one error, worded once.
"""

import re
from collections.abc import Collection as Ids, Iterable, Mapping
from typing import Final, NamedTuple

from ir_measures import Qrel

from .files import Line, refuse_all


WHOLE_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}")  # more digits are no label
HALF: Final = re.compile("[\ud800-\udfff]")  # of a surrogate pair, which JSON alone can spell


class Text(NamedTuple):
    """A query or a document: its id, its text and what else its line says of it."""

    line: Line
    key: str
    text: str
    kind: str = ""


class Judgement(NamedTuple):
    line: Line
    qid: str
    docid: str
    label: str


class Candidate(NamedTuple):
    line: Line
    qid: str
    docid: str


class Documents(NamedTuple):
    """Documents with a text, the kinds their lines name, and the ids of those without a text.

    `partial`: the file holds others too, which were not asked for.
    """

    texts: Mapping[str, str]
    kinds: dict[str, str]
    dropped: tuple[str, ...]
    partial: bool = False


def queries(read: Iterable[Text]) -> tuple[dict[str, str], dict[str, str]]:
    """Query id to text, and to the subject area where the lines name one."""
    kept = unique(read)
    for each in kept.values():
        if not each.text.strip():
            each.line.refuse(f"query {each.key!r} has no text; write one or take the line out")
    texts = {key: each.text for key, each in kept.items()}
    return texts, {key: each.kind for key, each in kept.items() if each.kind}


def documents(read: Iterable[Text], only: Ids[str] | None = None) -> Documents:
    """The documents, or `only` some; those without a text are left out by name.

    Raises:
        ValueError: an id that is empty or given twice, or none of those asked for is there.
    """
    kept = unique(each for each in read if only is None or each.key in only)
    if only is not None:
        require_some(only, kept)
    dropped = tuple(key for key, each in kept.items() if not each.text.strip())
    for key in dropped:
        del kept[key]
    return Documents(
        texts={key: each.text for key, each in kept.items()},
        kinds={key: each.kind for key, each in kept.items() if each.kind},
        dropped=dropped,
        partial=only is not None,
    )


def unique(read: Iterable[Text]) -> dict[str, Text]:
    """By id, which may be neither empty nor given twice."""
    kept: dict[str, Text] = {}
    for each in read:
        if not each.key.strip():
            each.line.refuse("the id is empty")
        if each.key in kept:
            first = kept[each.key].line
            each.line.refuse(f"id {each.key!r} was already given in line {first.number}")
        kept[each.key] = each
    return kept


def require_some(only: Ids[str], found: Ids[str]) -> None:
    """Refuse a list of documents none of which was found.

    Raises:
        ValueError: names the first of them.
    """
    if not found:
        first = ", ".join(map(repr, sorted(only)[:3])) or "none"
        raise ValueError(
            f"the collection has none of the {len(only):,} documents that are to be ranked "
            f"({first}{', …' if len(only) > 3 else ''}); give the collection that the run was made "
            "on"
        )


class Judged(NamedTuple):
    """Judgements of documents with a text, of those without, and how many of other queries."""

    qrels: tuple[Qrel, ...]
    without_text: tuple[Qrel, ...]
    other_queries: int


NOTHING_JUDGED: Final = Judged((), (), 0)


def judgements(read: Iterable[Judgement], queries: Ids[str], documents: Documents) -> Judged:
    """The judgements, of which a track's official file holds more than one's own texts.

    Raises:
        ValueError: a label that is no whole number, a pair judged twice, or no judgement at all
            of a query and a document that are there: their ids are then of another collection.
    """
    first: dict[tuple[str, str], Line] = {}
    with_text, without_text, other_queries = [], [], 0
    wrong = []
    for line, qid, docid, label in read:
        if (qid, docid) in first:
            before = first[qid, docid].number
            line.refuse(f"query {qid!r} and document {docid!r} were judged in line {before}")
        first[qid, docid] = line
        if not WHOLE_NUMBER.fullmatch(label):
            line.refuse(f"found the label {label!r:.40}, expected a whole number such as 0 or 2")
        if qid not in queries:
            other_queries += 1
            wrong.append((line, f"query {qid!r} is not among the queries"))
        elif docid in documents.texts:
            with_text.append(Qrel(qid, docid, int(label)))
        else:
            without_text.append(Qrel(qid, docid, int(label)))
            if docid not in documents.dropped and not documents.partial:
                wrong.append((line, f"document {docid!r} is not among the documents"))
    if not with_text:
        refuse_all(wrong)
    return Judged(tuple(with_text), tuple(without_text), other_queries)


def candidates(
    read: Iterable[Candidate], queries: Ids[str], documents: Documents
) -> dict[str, tuple[str, ...]]:
    """Query id to its candidates that have a text, each once, in the order of the file."""
    read = list(read)
    check(read, queries, documents)
    chosen: dict[str, dict[str, None]] = {}
    for _, qid, docid in read:
        if docid in documents.texts:
            chosen.setdefault(qid, {})[docid] = None
    return {qid: tuple(docids) for qid, docids in chosen.items()}


def check(read: Iterable[Candidate], queries: Ids[str], documents: Documents) -> None:
    """An error if a line names a query or a document that is not there."""
    left_out = set(documents.dropped)
    wrong = []
    for each in read:
        if each.qid not in queries:
            wrong.append((each.line, f"query {each.qid!r} is not among the queries"))
        elif each.docid not in documents.texts and each.docid not in left_out:
            wrong.append((each.line, f"document {each.docid!r} is not among the documents"))
    refuse_all(wrong)
