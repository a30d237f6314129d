"""A collection as files in the style of TREC."""

from pathlib import Path

from crosslens import Collection


def write_trec(folder: Path, texts: Collection) -> Path:
    """The folder, with queries.tsv, docs.tsv and qrels.txt."""
    for name, some in (("queries.tsv", texts.queries), ("docs.tsv", texts.documents)):
        (folder / name).write_text("".join(f"{key}\t{text}\n" for key, text in some.items()))
    judged = "".join(f"{q.query_id} 0 {q.doc_id} {q.relevance}\n" for q in texts.qrels)
    (folder / "qrels.txt").write_text(judged)
    return folder
