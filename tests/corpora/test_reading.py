"""Collections from files: what is read, and that every broken file is named with its line."""

import gzip
import json
import sys
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from ir_measures import Qrel

import crosslens.corpora.reading as reading
from crosslens.corpora.reading import collection


QUERIES = "q1\twhy do cats purr\tpets\nq2\tcapital of France\ttravel\n"
DOCUMENTS = "d1\tCats purr.\tfull\nd2\tDogs bark.\toff-topic\nd3\tParis, the capital.\tfull\n"
QRELS = "q1 0 d1 3\nq1 0 d2 0\nq2 0 d3 2\nq2 0 d2 0\nq2 0 d1 0\n"

Folder = Callable[[Mapping[str, str | bytes]], Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Writes a collection's files; those whose name ends in .gz are gzipped."""

    def write(files: Mapping[str, str | bytes]) -> Path:
        for name, content in files.items():
            raw = content.encode() if isinstance(content, str) else content
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        return tmp_path

    return write


def trec(**changed: str | bytes) -> dict[str, str | bytes]:
    """A sound collection, but for the files given anew."""
    whole = {"queries": QUERIES, "docs": DOCUMENTS, "qrels": QRELS, **changed}
    names = {"queries": "queries.tsv", "docs": "docs.tsv.gz", "qrels": "qrels.txt"}
    return {names.get(key, key): content for key, content in whole.items()}


def test_a_trec_folder_is_read_whole(folder: Folder) -> None:
    where = folder(trec())
    read = collection(where)
    assert read.queries == {"q1": "why do cats purr", "q2": "capital of France"}
    assert read.documents["d3"] == "Paris, the capital."
    assert read.qrels[0] == Qrel("q1", "d1", 3)
    assert read.candidates == {"q1": ("d1", "d2"), "q2": ("d3", "d2", "d1")}
    assert (read.pool, read.dropped) == ("judged documents", ())
    assert read.types == {"d1": "full", "d2": "off-topic", "d3": "full"}
    assert read.fields == {"q1": "pets", "q2": "travel"}
    assert read.source == str(where)
    assert collection(str(where)) == read


@pytest.mark.parametrize(
    "names", [("docs.tsv", "qrels.tsv.gz"), ("collection.tsv", "qrels.dl.txt")]
)
def test_files_go_by_the_names_they_are_published_under(
    folder: Folder, names: tuple[str, str]
) -> None:
    read = collection(folder({"queries.tsv.gz": QUERIES, names[0]: DOCUMENTS, names[1]: QRELS}))
    assert read.n_pairs == 5


def test_windows_line_ends_and_a_byte_order_mark_are_no_text(folder: Folder) -> None:
    plain = collection(folder(trec())).digest
    windows = {name: str(text).replace("\n", "\r\n") for name, text in trec().items()}
    windows["queries.tsv"] = "\ufeff" + windows["queries.tsv"]
    assert collection(folder(windows)).digest == plain


def test_unicode_line_separators_are_text(folder: Folder) -> None:
    odd = "d1\tcats\u2028purr\x85 loud\nd2\tdogs\nd3\tParis\n"
    assert collection(folder(trec(docs=odd))).documents["d1"] == "cats\u2028purr\x85 loud"


def test_documents_without_text_are_left_out_with_their_judgements(folder: Folder) -> None:
    read = collection(folder(trec(docs="d1\tCats purr.\nd2\t \nd3\tParis.\n")))
    assert read.dropped == ("d2",)
    assert "d2" not in read.documents
    assert [qrel.doc_id for qrel in read.qrels] == ["d1", "d3", "d1"]
    assert "1 without text left out" in repr(read)


def test_given_candidates_are_taken(folder: Folder) -> None:
    listed = "q1\td3\t1\nq1\td1\t2\nq1\td3\t3\n"
    read = collection(folder(trec(**{"candidates.tsv.gz": listed})))
    assert read.candidates == {"q1": ("d3", "d1")}
    assert read.pool == "candidates.tsv.gz"


def test_given_runs_are_taken(folder: Folder) -> None:
    read = collection(folder(trec(**{"run.txt": "q2 Q0 d2 1 9.5 x\nq2 Q0 d1 2 9.1 x\n"})))
    assert read.candidates == {"q2": ("d2", "d1")}


def test_without_judgements_candidates_are_enough(folder: Folder) -> None:
    files = trec(**{"candidates.tsv": "q1\td1\n"})
    del files["qrels.txt"]
    read = collection(folder(files))
    assert (read.qrels, read.candidates) == ((), {"q1": ("d1",)})


@pytest.mark.parametrize("qrels", ["q1 0 d1 1\nq2 0 d3 1\n", None])
def test_where_only_positives_are_judged_bm25_finds_the_candidates(
    folder: Folder, qrels: str | None
) -> None:
    files = trec(**({"qrels": qrels} if qrels else {}))
    if qrels is None:
        del files["qrels.txt"]
    read = collection(folder(files))
    assert read.pool == "BM25 top 100"
    assert read.candidates == {"q1": ("d1",), "q2": ("d3",)}


def test_a_beir_folder_is_read_with_the_queries_its_test_split_judges(folder: Folder) -> None:
    corpus = [
        {"_id": "d1", "title": "Cats", "text": "They purr."},
        {"_id": "d2", "title": "", "text": "Dogs bark."},
        {"_id": "d3", "text": "Paris."},
        {"_id": "d4", "title": " ", "text": ""},
    ]
    asked = [{"_id": "q1", "text": "why purr"}, {"_id": "q2", "text": "in training only"}]
    header = "query-id\tcorpus-id\tscore\n"
    read = collection(
        folder(
            {
                "corpus.jsonl": "".join(json.dumps(each) + "\n" for each in corpus),
                "queries.jsonl": "".join(json.dumps(each) + "\n" for each in asked),
                "qrels/test.tsv": header + "q1\td1\t1\nq1\td2\t0\nq1\td3\t0\nq1\td4\t1\n",
                "qrels/train.tsv": header + "q2\td3\t1\n",
            }
        )
    )
    assert read.queries == {"q1": "why purr"}
    assert read.documents == {"d1": "Cats They purr.", "d2": "Dogs bark.", "d3": "Paris."}
    assert read.candidates == {"q1": ("d1", "d2", "d3")}
    assert read.dropped == ("d4",)


BEIR = {
    "corpus.jsonl": '{"_id": "d1", "text": "Cats purr."}\n',
    "queries.jsonl": '{"_id": "q1", "text": "why"}\n',
    "qrels/dev.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t1\n",
}


def test_the_only_beir_split_is_taken_and_two_are_not_chosen_between(folder: Folder) -> None:
    assert len(collection(folder(BEIR)).qrels) == 1
    with pytest.raises(FileNotFoundError, match=r"one other split; it holds dev.tsv, train.tsv"):
        collection(folder({"qrels/train.tsv": BEIR["qrels/dev.tsv"]}))


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"corpus.jsonl": '{"_id": "d1", "text": "a"}\n{"_id": \n'}, r"corpus.jsonl:2: not JSON"),
        (
            {"corpus.jsonl": '{"_id": "d1", "text": "cut \\ud83d"}\n'},
            r"corpus.jsonl:1: 'text' holds '\\ud83d', half of a surrogate pair",
        ),
        ({"queries.jsonl": '{"_id": "q\\ud83d", "text": "a"}\n'}, r"queries.jsonl:1: '_id' holds"),
        ({"corpus.jsonl": "[" * 90_000}, r"corpus.jsonl:1: not JSON that can be read"),
        ({"corpus.jsonl": "9" * 5_000}, r"corpus.jsonl:1: not JSON that can be read"),
        ({"corpus.jsonl": '{"id": "d1", "text": "a"}\n'}, r"corpus.jsonl:1: expected an object"),
        ({"corpus.jsonl": '["d1"]\n'}, r'corpus.jsonl:1: expected an object with "_id"'),
        ({"qrels/dev.tsv": "query-id\tcorpus-id\tscore\n"}, r"dev.tsv holds a row of column names"),
        ({"qrels/dev.tsv": "q1\td1\t1\n"}, r"dev.tsv:1: expected the header query-id corpus-id"),
        ({"qrels/dev.tsv": "query-id\tcorpus-id\tscore\nq1\td1\n"}, r"dev.tsv:2: found 2 tab"),
        ({"qrels/dev.tsv": "query-id\tcorpus-id\tscore\nq1\td9\t1\n"}, r"dev.tsv:2: document 'd9'"),
    ],
)
def test_a_broken_beir_file_is_named_with_its_line(
    folder: Folder, changed: dict[str, str], error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        collection(folder({**BEIR, **changed}))


def test_a_beir_folder_without_queries_says_what_it_holds(folder: Folder) -> None:
    with pytest.raises(FileNotFoundError, match=r"lacks .*queries.jsonl.*it holds corpus.jsonl"):
        collection(folder({"corpus.jsonl": BEIR["corpus.jsonl"]}))


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"queries": "q1\twhy\nq2 no tab\n"}, r"queries.tsv:2: found 1 tab-separated columns"),
        ({"queries": "q1\twhy\nq2\t \n"}, r"queries.tsv:2: query 'q2' has no text"),
        ({"queries": "q1\twhy\nq1\twhat\n"}, r"queries.tsv:2: id 'q1' was already given in line 1"),
        ({"queries": "\twhy\n"}, r"queries.tsv:1: the id is empty"),
        ({"queries": ""}, r"queries.tsv is empty"),
        ({"queries": "qid\ttext\n"}, r"queries.tsv holds a row of column names and nothing else"),
        ({"docs": "docid\ttext\n"}, r"docs.tsv.gz holds a row of column names and nothing"),
        ({"qrels": "qid 0 docid label\n"}, r"qrels.txt holds a row of column names and nothing"),
        ({"queries": b"q1\twhy\n\nq2\tcaf\xe9\n"}, r"queries.tsv:3: not UTF-8 \(byte 7 .* 0xe9\)"),
        ({"docs": "d1\ta\td2\tb\n"}, r"docs.tsv.gz:1: found 4 .*an id and a text, 3 columns"),
        ({"docs": "d1\ta\nd2\tb\tfull\n"}, r"docs.tsv.gz:2: found 3 .*expected 2, as in the first"),
        ({"docs": "d1\t\nd2\t\nd3\t\n"}, r"has no document"),
        ({"qrels": "q1 0 d1\n"}, r"qrels.txt:1: found 3 fields, expected 4: qid 0 docid label"),
        ({"qrels": f"q1 0 d1 {'9' * 5_000}\n"}, r"qrels.txt:1: found the label '9+"),
        ({"qrels": "q1 0 d1 yes\n"}, r"qrels.txt:1: found the label 'yes', expected a whole"),
        ({"qrels": "q1 0 d1 1\nq1 0 d1 2\n"}, r"qrels.txt:2: .* were judged in line 1"),
        ({"qrels": "q9 0 d1 1\n"}, r"qrels.txt:1: query 'q9' is not among the queries$"),
        ({"qrels": "q1 0 d7 1\nq1 0 d8 1\nq1 0 d9 1\n"}, r"qrels.txt:1: document 'd7' .*2 more"),
        ({"candidates.tsv": "q1\n"}, r"candidates.tsv:1: found 1 tab-separated"),
        ({"candidates.tsv": "q1\td9\n"}, r"candidates.tsv:1: document 'd9' is not among"),
        ({"run.txt": "q1 d1 1 2\n"}, r"run.txt:1: found 4 fields, expected 6 \(qid Q0 docid rank"),
        ({"run.txt": "q1 d1 1\nq1 Q0 d1 2 3.5 x\n"}, r"run.txt:2: found 6 fields, expected 3 as"),
        ({"run.txt": "q1 Q0 d1 1 inf x\n"}, r"run.txt:1: found the score 'inf', expected a finite"),
        ({"qrels.tsv": QRELS}, r"several files for one purpose: qrels.tsv, qrels.txt; keep one"),
    ],
)
def test_a_broken_file_is_named_with_its_line(
    folder: Folder, changed: dict[str, str | bytes], error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        collection(folder(trec(**changed)))


def test_damaged_gzip_files_are_named_with_the_remedy(folder: Folder) -> None:
    where = folder(trec(docs="".join(f"d{i}\tcats purr {i * 977}\n" for i in range(3000))))
    path = where / "docs.tsv.gz"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    damage = {
        b"d1\tplain text\n": r"docs.tsv.gz is not a sound gzip file .*drop '.gz' from its name",
        whole[: len(whole) // 2]: r"docs.tsv.gz is a truncated gzip file; fetch it again",
        bytes(flipped): r"docs.tsv.gz is (not a sound|a damaged) gzip file .*fetch it again",
    }
    for content, error in damage.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=error):
            collection(where)


def test_a_folder_that_is_no_collection_says_what_it_holds(folder: Folder) -> None:
    where = folder({"notes.txt": "hello"})
    with pytest.raises(FileNotFoundError, match=r"no queries.tsv or .*it holds notes.txt. A coll"):
        collection(where)


def test_a_name_that_is_no_folder_says_what_a_name_may_be(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"does not exist. Name a folder .*'embedded', or"):
        collection("trec-dl-2031")
    (tmp_path / "docs.tsv").write_text(DOCUMENTS)
    with pytest.raises(FileNotFoundError, match="is a file, not a folder"):
        collection(tmp_path / "docs.tsv")


def test_the_embedded_collection_is_there() -> None:
    read = collection()
    assert read == collection("embedded")
    assert read.name == "embedded"
    assert read.n_pairs == len(read.documents) >= 480
    assert read.types.keys() == read.documents.keys()
    assert len(set(read.fields.values())) == 6


def test_an_installation_without_the_embedded_collection_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "files", lambda package: {"crosslens": tmp_path}[package])
    with pytest.raises(FileNotFoundError, match="holds no embedded collection .*install crosslens"):
        collection()


def test_ir_datasets_is_asked_for_by_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_datasets", None)  # as if it were not installed
    with pytest.raises(ImportError, match=r"pip install 'crosslens\[data\]'"):
        collection("ir_datasets:beir/scifact/test")


@pytest.mark.parametrize("name", ["docs.tsv", "docs.tsv.gz"])
def test_of_a_file_larger_than_memory_only_the_documents_asked_for_are_held(
    folder: Folder, name: str
) -> None:
    text = "cats " * 200
    docs = "".join(f"d{i}\t{i} {text}\n" for i in range(10_000))  # ten megabytes
    files = {"queries.tsv": QUERIES, name: docs + "d999999\t \n", "qrels.txt": QRELS}
    where = folder(files)
    del files, docs
    tracemalloc.start()
    read = collection(where, only={"d7", "d9999", "d999999"})
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 6_000_000
    assert read.documents.keys() == {"d7", "d9999"} and read.dropped == ("d999999",)
    assert read.candidates == {} and len(read.judgements) == 5


def test_of_beir_only_the_documents_asked_for_are_held_and_every_query(folder: Folder) -> None:
    corpus = "".join(json.dumps({"_id": f"d{i}", "text": f"cats {i}"}) + "\n" for i in range(9))
    queries = "".join(json.dumps({"_id": f"q{i}", "text": f"why {i}"}) + "\n" for i in range(3))
    qrels = "query-id\tcorpus-id\tscore\nq1\td1\t1\n"
    where = folder({"corpus.jsonl": corpus, "queries.jsonl": queries, "qrels/test.tsv": qrels})
    read = collection(where, only={"d3"})
    assert read.documents == {"d3": "cats 3"} and len(read.queries) == 3
    assert [qrel.doc_id for qrel in read.judgements] == ["d1"]
    with pytest.raises(ValueError, match=r"none of the 1 documents .* \('x'\)"):
        collection(where, only={"x"})
