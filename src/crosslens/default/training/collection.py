"""Collections as training reads them, and parts of them."""

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ir_measures import Qrel

from ...corpora import records
from ...corpora.collection import Collection
from ...corpora.files import lines
from ...corpora.reading import collection
from ...corpora.records import Text
from ...corpora.trec import CANDIDATES


def read(folder: Path) -> Collection:
    """The collection in `folder`, with labels of at least 0.

    The candidates of a query are its judged documents and those that a file lists. A folder of
    `pairs.tsv.gz` (id, source, type, focus, question, answer) has one right answer to each
    question.

    Raises:
        FileNotFoundError, ValueError: as `corpora.reading.collection`.
    """
    pairs = folder / "pairs.tsv.gz"
    whole = _from_pairs(pairs) if pairs.is_file() else collection(folder)
    listed = whole.candidates if whole.pool in CANDIDATES else {}
    return replace(whole, candidates=_joined(whole.labels, listed), pool="judged or listed").graded(
        lambda label: max(0, label)
    )


def _joined(
    *lists: Mapping[str, Mapping[str, int] | tuple[str, ...]],
) -> dict[str, tuple[str, ...]]:
    """Query id to the documents of all `lists`, each once."""
    qids = dict.fromkeys(qid for each in lists for qid in each)
    return {q: tuple(dict.fromkeys(d for each in lists for d in each.get(q, ()))) for q in qids}


def _from_pairs(path: Path) -> Collection:
    meaning = "id, source, type, focus, question, answer"
    # MedQuAD gives one id to several questions; the number of the line tells them apart
    rows = [
        (line, f"{key}_{line.number}", question, answer)
        for line in lines(path)
        for key, *_, question, answer in [line.columns(6, 6, meaning)]
    ]
    questions, _ = records.queries(Text(line, key, _plain(text), "") for line, key, text, _ in rows)
    answers = records.documents(Text(line, key, text, "") for line, key, _, text in rows)
    return Collection(
        path.parent.name,
        questions,
        answers.texts,
        tuple(Qrel(key, key, 1) for key in answers.texts),
        dropped=answers.dropped,
        source=str(path),
    )


def _plain(question: str) -> str:
    return question.replace(" (are)", "").replace(" ?", "?")


def part(
    whole: Collection,
    *,
    query: Callable[[str], bool] = lambda qid: True,
    document: Callable[[str], bool] = lambda docid: True,
) -> Collection | None:
    """`whole` with the queries and documents whose ids pass, or None if that leaves none of one."""
    queries = {q: text for q, text in whole.queries.items() if query(q)}
    documents = {d: text for d, text in whole.documents.items() if document(d)}
    if not queries or not documents:
        return None
    among = {q: tuple(d for d in whole.candidates.get(q, ()) if d in documents) for q in queries}
    return replace(
        whole,
        queries=queries,
        documents=documents,
        qrels=tuple(e for e in whole.qrels if e.query_id in queries and e.doc_id in documents),
        without_text=tuple(e for e in whole.without_text if e.query_id in queries),
        candidates={q: docids for q, docids in among.items() if docids},
    )


def normalised(text: str) -> str:
    """`text` without the differences in case, space and punctuation that hide a duplicate."""
    return " ".join(re.findall(r"\w+", text.lower()))


def bucket(qid: str, buckets: int) -> int:
    """A fixed, evenly spread number below `buckets` for a query id, on every machine alike."""
    return zlib.crc32(qid.encode()) % buckets
