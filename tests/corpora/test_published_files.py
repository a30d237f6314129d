"""Files as they are published: other people's judgements, headers, odd line ends, nulls."""

import json
from pathlib import Path

import pytest

from crosslens import collection, rerank
from crosslens.effectiveness import evaluate


def folder(path: Path, **files: str | bytes) -> Path:
    """queries, docs and qrels, of which `files` replaces some."""
    content: dict[str, str | bytes] = {
        "queries.tsv": "q1\tcats purr\nq2\tdogs bark\n",
        "docs.tsv": "d1\tcats purr loud\nd2\tdogs bark\n",
        "qrels.txt": "q1 0 d1 1\nq1 0 d2 0\nq2 0 d2 1\n",
    } | {name.replace("_", "."): text for name, text in files.items()}
    for name, text in content.items():
        (path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_ideal_ranking_counts_judgements_of_documents_without_text(tmp_path: Path) -> None:
    found = collection(
        folder(
            tmp_path,
            queries_tsv="1\tcats\n",
            docs_tsv="a\tcats sleep\nc\tdogs bark\n",
            qrels_txt="1 0 a 1\n1 0 b 3\n1 0 c 0\n1 0 e 0\n7 0 a 1\n",
        )
    )
    assert [qrel.doc_id for qrel in found.without_text] == ["b", "e"]
    assert found.other_queries == 1
    assert "2 judgements of documents without text" in repr(found)
    run = rerank(lambda query, texts: [float("cats" in text) for text in texts], found)
    by_hand = (2**1 - 1) / ((2**3 - 1) + (2**1 - 1) / 1.5849625007211562)
    assert evaluate(run, found).iloc[0, 0] == pytest.approx(by_hand, abs=1e-4)


def test_judgements_of_another_collection_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="qrels.txt:1: query 'x' is not among the queries"):
        collection(folder(tmp_path, qrels_txt="x 0 d1 1\ny 0 d2 0\n"))


@pytest.mark.parametrize("label", ["1_0", "٣", "1.0", "one", "0x1"])
def test_a_label_is_a_whole_number_in_ascii(tmp_path: Path, label: str) -> None:
    with pytest.raises(ValueError, match="qrels.txt:2: found the label"):
        collection(folder(tmp_path, qrels_txt=f"q1 0 d1 1\nq1 0 d2 {label}\n"))


@pytest.mark.parametrize("before", ["", "\n", "\r\n  \r\n"])
def test_a_row_of_column_names_is_no_text_and_no_judgement(tmp_path: Path, before: str) -> None:
    end = "\r\n" if "\r" in before else "\n"
    found = collection(
        folder(
            tmp_path,
            queries_tsv=before + f"qid\tquery{end}q1\tcats purr{end}",
            docs_tsv=before + f"docid\ttext{end}d1\tcats purr loud{end}d2\tdogs bark{end}",
            qrels_txt=before + f"qid iter docid rel{end}q1 0 d1 1{end}q1 0 d2 0{end}",
        )
    )
    assert list(found.queries) == ["q1"] and list(found.documents) == ["d1", "d2"]
    assert len(found.qrels) == 2


def test_a_first_document_may_be_made_of_such_words(tmp_path: Path) -> None:
    found = collection(folder(tmp_path, docs_tsv="d1\ttitle and text of a document\nd2\tdogs\n"))
    assert list(found.documents) == ["d1", "d2"]


@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\n"])
def test_lines_end_with_either_mark(tmp_path: Path, end: bytes) -> None:
    texts = {
        "queries_tsv": b"1\tcats purr\n2\tdogs bark\n",
        "docs_tsv": b"d1\tcats\nd2\tdogs\n",
        "qrels_txt": b"1 0 d1 1\n",
    }
    files = {name: text.replace(b"\n", end) for name, text in texts.items()}
    found = collection(folder(tmp_path, **files))
    assert dict(found.queries) == {"1": "cats purr", "2": "dogs bark"}
    assert dict(found.documents) == {"d1": "cats", "d2": "dogs"}


def test_mixed_line_ends_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="docs.tsv:1: a carriage return"):
        collection(folder(tmp_path, docs_tsv=b"d1\tcats\rd2\tdogs\nd3\tcows\n"))


def test_a_list_of_candidates_without_any_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.txt").write_text("qid Q0 docid rank score tag\n")
    with pytest.raises(ValueError, match="run.txt holds a row of column names and nothing else"):
        collection(folder(tmp_path))
    (tmp_path / "run.txt").write_text("q1 Q0 d1 1 2.5 tag\n")
    with pytest.raises(ValueError, match="run.txt lists no candidate that has a text"):
        collection(folder(tmp_path, docs_tsv="d1\t\nd2\tdogs bark\n"))


def beir(path: Path, *corpus: dict[str, object]) -> Path:
    (path / "qrels").mkdir()
    (path / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in corpus))
    (path / "queries.jsonl").write_text('{"_id": "q", "text": "boats"}\n')
    (path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t1\nq\tb\t0\n")
    return path


def test_null_is_no_text(tmp_path: Path) -> None:
    rows = (
        {"_id": "a", "title": "Boats", "text": None},
        {"_id": "b", "title": None, "text": None},
        {"_id": 7, "text": "a lake"},
    )
    found = collection(beir(tmp_path, *rows))
    assert dict(found.documents) == {"a": "Boats", "7": "a lake"}
    assert found.dropped == ("b",)


@pytest.mark.parametrize(
    "row", [{"_id": "b", "text": 3.5}, {"_id": "b", "text": ["x"]}, {"_id": None, "text": "x"}]
)
def test_nothing_is_turned_into_a_text(tmp_path: Path, row: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"corpus.jsonl:2: '(text|_id)' is .*, expected a text"):
        collection(beir(tmp_path, {"_id": "a", "text": "oars"}, row))
