"""Changed files of collections and runs: every record is read, counted as left out, or refused."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from hypothesis import strategies as st

from crosslens import Collection, collection, Run
from crosslens.corpora.beir import HEADER
from crosslens.corpora.trec import PAIR_COLUMNS, TEXT_COLUMNS

from .mutations import changed, records, written
from .outcome import Outcomes, require


QUERIES = b"q1\tboat river\nq2\tcats purr\nq3\tthe town\n"
DOCUMENTS = b"d1\ta boat on a river\nd2\tcats\nd3\t \nd4\tpurr, cats\nd5\ttown\n"
QRELS = b"q1 0 d1 2\nq1 0 d2 0\nq2 0 d2 1\nq2 0 d5 0\nq2 0 d3 1\nq3 0 d5 0\nq3 0 d1 0\nq9 0 d1 1\n"
RUN = b"q1 Q0 d1 1 2.5 tag\nq1 Q0 d2 2 0.5 tag\nq2 Q0 d2 1 1e-3 tag\nq3 Q0 d5 1 -4 tag\n"
TREC = {"queries.tsv": QUERIES, "docs.tsv": DOCUMENTS, "qrels.txt": QRELS}
MS_MARCO = {
    "queries.tsv": b"qid\tquery\n" + QUERIES,
    "collection.tsv": DOCUMENTS,
    "qrels.dev.tsv": QRELS.replace(b" ", b"\t"),
    "candidates.tsv": b"q1\td1\nq1\td2\nq2\td2\nq2\td3\nq3\td5\n",
}
BEIR = {
    "queries.jsonl": b"".join(
        b'{"_id": "%s", "text": "%s"}\n' % tuple(line.split(b"\t")) for line in QUERIES.splitlines()
    ),
    "corpus.jsonl": b"".join(
        b'{"_id": "%s", "title": "", "text": "%s"}\n' % tuple(line.split(b"\t"))
        for line in DOCUMENTS.splitlines()
    ),
    "qrels/test.tsv": b"query-id\tcorpus-id\tscore\n"
    + b"".join(
        b"\t".join([line.split()[0], *line.split()[2:]]) + b"\n" for line in QRELS.splitlines()
    ),
}


@st.composite
def folders(draw: Callable, sound: dict[str, bytes]) -> dict[str, bytes]:
    """The files of a collection, one or two of them changed."""
    files = dict(sound)
    for name in draw(st.lists(st.sampled_from(sorted(files)), min_size=1, max_size=2)):
        files[name] = draw(changed(files[name]))
    return files


def without_header(lines: list[str], names: frozenset[str]) -> list[str]:
    first = [each.strip().strip('"#').lower() for each in lines[0].split()] if lines else []
    return lines[1:] if first and names.issuperset(first) else lines


def read(folder: Path, files: dict[str, bytes], outcomes: Outcomes) -> Collection | None:
    """A refusal names a file of the folder, or the folder."""
    return outcomes.of(lambda: collection(written(folder, files)), str(folder), f"{folder.name!r}")


def trec(files: dict[str, bytes], outcomes: Outcomes, folder: Path) -> None:
    """TREC and MS MARCO: lines of every file against what the collection says it holds."""
    found = read(folder, files, outcomes)
    if found is None:
        return
    lines = {name: records(content) for name, content in files.items()}
    (documents,) = (lines[name] for name in lines if name in ("docs.tsv", "collection.tsv"))
    (qrels,) = (lines[name] for name in lines if name.startswith("qrels"))
    qrels = without_header(qrels, PAIR_COLUMNS)
    judged = len(found.judgements) + found.other_queries
    require(len(found.queries) == len(without_header(lines["queries.tsv"], TEXT_COLUMNS)), "query")
    kept = len(found.documents) + len(found.dropped)
    require(kept == len(without_header(documents, TEXT_COLUMNS)), f"{kept} documents")
    require(judged == len(qrels), f"{judged} judgements of {len(qrels)}")
    if "candidates.tsv" in lines:
        rows = without_header(lines["candidates.tsv"], PAIR_COLUMNS)
        pairs = {tuple(line.split("\t")[:2]) for line in rows}
        left_out = sum(docid in found.dropped for _, docid in pairs)
        require(found.n_pairs == len(pairs) - left_out, f"{found.n_pairs} candidates")


def beir(files: dict[str, bytes], outcomes: Outcomes, folder: Path) -> None:
    """BEIR: as TREC, but only judged queries are kept."""
    found = read(folder, files, outcomes)
    if found is None:
        return
    lines = {name: records(content) for name, content in files.items()}
    kept = len(found.documents) + len(found.dropped)
    require(kept == len(lines["corpus.jsonl"]), f"{kept} documents")
    judged = len(found.judgements) + found.other_queries
    qrels = lines["qrels/test.tsv"]
    rows = qrels[1:] if qrels[0].split("\t") == HEADER else qrels
    require(judged == len(rows), f"{judged} judgements of {len(rows)}")
    asked = {qrel.query_id for qrel in found.judgements}
    require(set(found.queries) == asked, "the queries are those that are judged")


def runs(content: bytes, outcomes: Outcomes, folder: Path) -> None:
    """A run: as many scored documents as lines."""
    written(folder, {"first.run": content})
    found = outcomes.of(lambda: Run.load(folder / "first.run"), "first.run")
    if found is not None:
        n = sum(map(len, found.values()))
        require(n == len(records(content)), f"{n} of {len(records(content))} lines")


def collection_parts(folder: Path) -> dict[str, tuple[st.SearchStrategy, Callable]]:
    three = RUN.replace(b"Q0 ", b"").replace(b" 2.5 tag", b"").replace(b" 0.5 tag", b"")
    three = three.replace(b" 1e-3 tag", b"").replace(b" -4 tag", b"")
    return {
        "trec": (folders(TREC), partial(trec, folder=folder)),
        "msmarco": (folders(MS_MARCO), partial(trec, folder=folder)),
        "beir": (folders(BEIR), partial(beir, folder=folder)),
        "runs": (changed(RUN) | changed(three), partial(runs, folder=folder)),
    }
