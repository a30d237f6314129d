"""Documents on disk are those in memory: the same texts, candidates and errors."""

import gzip
import shutil
from pathlib import Path

import pytest

from crosslens import collection
from crosslens.corpora import stored
from crosslens.corpora.stored import StoredTexts
from crosslens.provenance import of_texts
from crosslens.signals import Bm25Index
from crosslens.writing import Damaged


LINES = "".join(f"d{i}\tpassage {i} of {'cats' if i % 3 else 'Straße ﬁn'}\n" for i in range(40))


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A collection in the style of MS MARCO, and a cache of its own."""
    monkeypatch.setenv(stored.CACHE, str(tmp_path / "cache"))
    made = tmp_path / "made"
    made.mkdir()
    (made / "queries.tsv").write_text("q1\tcats 7\nq2\tstrasse\n")
    (made / "collection.tsv").write_text(LINES + "empty\t \n")
    (made / "qrels.txt").write_text("q1 0 d7 1\nq2 0 d3 1\nq2 0 empty 1\n")
    return made


def on_disk(folder: Path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(stored, "LARGE", 0)
        return collection(folder)


def test_a_collection_on_disk_is_that_in_memory(folder, monkeypatch):
    memory, disk = collection(folder), on_disk(folder, monkeypatch)
    assert isinstance(disk.documents, StoredTexts) and isinstance(memory.documents, dict)
    assert disk.documents == memory.documents and [*disk.documents] == [*memory.documents]
    assert list(disk.documents.values()) == list(memory.documents.values())
    assert disk.candidates == memory.candidates and disk.pool == "BM25 top 100"
    assert disk.qrels == memory.qrels and disk.dropped == ("empty",) == memory.dropped
    assert disk.without_text == memory.without_text
    assert "d7" in disk.documents and "nobody" not in disk.documents
    with pytest.raises(KeyError):
        disk.documents["empty"]


def test_an_index_is_made_once_and_again_of_another_corpus(folder, monkeypatch):
    first = on_disk(folder, monkeypatch)
    index = Bm25Index(first.documents)

    def refused(*_):
        raise AssertionError("counted again")

    with monkeypatch.context() as patched:
        patched.setattr(Bm25Index, "_counted", refused)
        again = Bm25Index(on_disk(folder, patched).documents)
        for query in ("cats 7", "strasse fin of", "nothing"):
            assert again.top(query, 9) == index.top(query, 9)
        for k1 in (0.9, 1.2000001):
            with pytest.raises(AssertionError):
                Bm25Index(first.documents, k1=k1)
    assert again.frequencies == index.frequencies
    assert index.frequencies == Bm25Index(collection(folder).documents).frequencies
    (folder / "collection.tsv").write_text(LINES + "new\tcats 7 7\n")
    other = on_disk(folder, monkeypatch)
    assert Bm25Index(other.documents).top("7", 1)[0][0] == "new"
    assert of_texts([other])["documents"] != of_texts([first])["documents"]
    assert other.digest != first.digest


FILES = ("texts.arrow", "hashes.npy", "rows.npy", "facts.json", "bm25*/facts.json", "bm25*/indptr*")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"{")])
def test_a_damaged_cache_is_named_and_made_anew_once_deleted(name, damage, folder, monkeypatch):
    def found():
        disk = on_disk(folder, monkeypatch)
        return disk.candidates, dict(disk.documents)

    expected = found()
    (path,) = (folder.parent / "cache" / "collections").glob(f"*/{name}")
    damage(path)
    with pytest.raises(Damaged, match=f"^{path.parent} is damaged .*: delete it, and"):
        found()
    shutil.rmtree(path.parent)
    assert found() == expected


def test_the_best_are_the_best_of_all_with_ties_by_id(folder):
    index = Bm25Index(collection(folder).documents)
    every = index.top("passage of cats", 40)
    assert len(every) == 40 and every == sorted(every, key=lambda each: (-each[1], each[0]))
    assert all(index.top("passage of cats", n) == every[:n] for n in range(1, 40))


@pytest.mark.parametrize("line", ["d7\tagain\n", "empty\tnow with text\n", " \tno id\n", "d99\n"])
def test_what_is_wrong_in_a_file_is_the_same_error(line, folder, monkeypatch):
    path = folder / "collection.tsv"
    path.write_text(path.read_text() + line)
    errors = []
    for read in (collection, lambda name: on_disk(name, monkeypatch)):
        with pytest.raises(ValueError, match=r"collection\.tsv:42") as error:
            read(folder)
        errors.append(str(error.value))
    assert errors[0] == errors[1]
    assert not [*stored.cache().iterdir()] if stored.cache().is_dir() else True


def test_gzip_and_beir_stay_on_disk_too(folder, tmp_path, monkeypatch):
    plain = folder / "collection.tsv"
    known = dict(collection(folder).documents)
    (folder / "collection.tsv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert dict(on_disk(folder, monkeypatch).documents) == known
    beir = tmp_path / "beir"
    (beir / "qrels").mkdir(parents=True)
    (beir / "corpus.jsonl").write_text(
        '{"_id": "a", "title": "Cats", "text": "purr"}\n{"_id": "b", "text": "dogs"}\n'
    )
    (beir / "queries.jsonl").write_text('{"_id": "q", "text": "cats"}\n')
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t1\n")
    assert dict(on_disk(beir, monkeypatch).documents) == {"a": "Cats purr", "b": "dogs"}
