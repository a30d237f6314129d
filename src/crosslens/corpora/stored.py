"""Documents that stay on disk: looked up by id, read one after the other, never all in memory.

The texts of a large file are written once into a folder, which is named after the checksum of the
file, and mapped into memory from there:

    texts.arrow   id, text and line of every document, in the order of the file
    hashes.npy    a hash of every id, sorted; rows.npy says which row it is of
    facts.json    the kinds that lines name, and the ids of documents without a text

What is made of the same documents, such as an index of their terms, is kept beside them.
"""

import hashlib
import json
import os
import shutil
from array import array
from collections.abc import (
    Callable,
    Collection as Ids,
    ItemsView,
    Iterable,
    Iterator,
    Mapping,
    ValuesView,
)
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa

from ..writing import made_anew, UNFINISHED, write_whole
from .files import CHUNK
from .records import Documents, documents, Text


LARGE: Final = 200_000_000  # bytes of a file, from which its texts stay on disk
ROWS: Final = 10_000  # documents that are written at once
FORMAT: Final = "texts 1"  # part of every key: another format is another folder
CACHE: Final = "CROSSLENS_CACHE"
Kept = TypeVar("Kept")
SCHEMA: Final = pa.schema([("id", pa.string()), ("text", pa.large_string()), ("line", pa.int64())])


@dataclass(frozen=True, eq=False, repr=False)
class StoredTexts(Mapping[str, str]):
    """Document id to text, from a folder that `store` wrote."""

    folder: Path

    @property
    def digest(self) -> str:
        """What stands for all texts where a result is traced back to them."""
        return self.folder.name

    @cached_property
    def _table(self) -> pa.Table:
        path = str(self.folder / "texts.arrow")
        with made_anew(self.folder), pa.memory_map(path) as file:
            return pa.ipc.open_file(file).read_all()

    @cached_property
    def _hashes(self) -> np.ndarray:
        with made_anew(self.folder):
            return np.load(self.folder / "hashes.npy", mmap_mode="r")

    @cached_property
    def _rows(self) -> np.ndarray:
        with made_anew(self.folder):
            return np.load(self.folder / "rows.npy", mmap_mode="r")

    @cached_property
    def _ids(self) -> pa.ChunkedArray:
        return self._table["id"]

    def keep(self, name: str, write: Callable[[Path], None], read: Callable[[Path], Kept]) -> Kept:
        """What `read` finds in the folder that `write` fills from these documents, once."""
        place = whole_folder(self.folder / name, write)
        with made_anew(place):
            return read(place)

    def _row(self, docid: str) -> int | None:
        """The row of a document that has a text."""
        wanted = np.uint64(hash_of(docid))  # an int would be compared as a float
        place = int(np.searchsorted(self._hashes, wanted))
        while place < len(self._hashes) and self._hashes[place] == wanted:
            row = int(self._rows[place])
            if self._ids[row].as_py() == docid:
                return row
            place += 1
        return None

    def __getitem__(self, docid: str) -> str:
        row = self._row(docid)
        if row is None:
            raise KeyError(docid)
        return self._table["text"][row].as_py()

    def __contains__(self, docid: object) -> bool:
        return isinstance(docid, str) and self._row(docid) is not None

    def __len__(self) -> int:
        return len(self._hashes)

    def __iter__(self) -> Iterator[str]:
        return (docid for docid, _ in self.pairs())

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Id and text of every document that has one, in the order of the file."""
        for batch in self._table.to_batches():
            every = zip(batch["id"].to_pylist(), batch["text"].to_pylist(), strict=True)
            yield from ((docid, text) for docid, text in every if text)

    def items(self) -> ItemsView[str, str]:
        """Id and text, read one after the other."""
        return _Items(self)

    def values(self) -> ValuesView[str]:
        """The texts, read one after the other."""
        return _Values(self)

    def __repr__(self) -> str:
        return f"StoredTexts({len(self):,} documents in {self.folder})"


class _Items(ItemsView[str, str]):
    _mapping: StoredTexts

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return self._mapping.pairs()


class _Values(ValuesView[str]):
    _mapping: StoredTexts

    def __iter__(self) -> Iterator[str]:
        return (text for _, text in self._mapping.pairs())


def documents_of(
    path: Path, read: Iterable[Text], kind: str, only: Ids[str] | None = None
) -> Documents:
    """The documents of a file, or `only` some: in memory, where they are not many.

    Raises:
        ValueError, OSError: as `records.documents` and `documents_on_disk`.
    """
    if only is None and path.stat().st_size >= LARGE:
        return documents_on_disk(path, read, kind)
    return documents(read, only)


def documents_on_disk(path: Path, read: Iterable[Text], kind: str) -> Documents:
    """The documents of a file, as `records.documents` gives them, kept in the cache.

    Args:
        read: what the file holds; not read where the cache has it.
        kind: the format that `read` follows.

    Raises:
        ValueError: an id that is empty or given twice; or what the cache has is damaged.
        OSError: the cache cannot be written to; names it.
    """
    folder = cache() / key_of(path, kind)
    try:
        whole_folder(folder, lambda begun: store(read, begun))
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot keep the documents of {path} in {folder}: {error.strerror}; name "
            f"another folder by the environment variable {CACHE}",
        ) from error
    with made_anew(folder):
        facts: dict[str, Any] = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return Documents(StoredTexts(folder), facts["kinds"], tuple(facts["dropped"]))


def whole_folder(folder: Path, write: Callable[[Path], None]) -> Path:
    """The folder, which appears whole or not at all; `write` fills it, if it is not there."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    begun = folder.parent / f"{UNFINISHED}{token_hex(8)}"
    begun.mkdir()
    try:
        write(begun)
        os.replace(begun, folder)
    except OSError:
        if not folder.is_dir():  # which another process may have made just now
            raise
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return folder


def store(read: Iterable[Text], folder: Path) -> None:
    """Writes the documents into the folder."""
    hashes, lines = array("Q"), array("q")
    kinds, dropped, path = {}, [], None
    with pa.OSFile(str(folder / "texts.arrow"), "wb") as file, pa.ipc.new_file(file, SCHEMA) as out:
        rest = iter(read)
        while some := list(islice(rest, ROWS)):
            for each in some:
                path = each.line.path
                if not each.key.strip():
                    each.line.refuse("the id is empty")
                hashes.append(hash_of(each.key))
                lines.append(each.line.number)
                if not each.text.strip():
                    dropped.append(each.key)
                elif each.kind:
                    kinds[each.key] = each.kind
            texts = [each.text if each.text.strip() else "" for each in some]
            rows = [[e.key for e in some], texts, [e.line.number for e in some]]
            out.write_batch(pa.record_batch(rows, schema=SCHEMA))
    every = np.frombuffer(hashes, dtype=np.uint64)
    order = np.argsort(every, kind="stable")
    sorted_hashes = every[order]
    with pa.memory_map(str(folder / "texts.arrow")) as file:
        table = pa.ipc.open_file(file).read_all()
    for place in np.flatnonzero(sorted_hashes[1:] == sorted_hashes[:-1]):
        first, second = int(order[place]), int(order[place + 1])
        docid = table["id"][second].as_py()
        if table["id"][first].as_py() == docid:
            raise ValueError(
                f"{path}:{lines[second]}: id {docid!r} was already given in line {lines[first]}"
            )
    without = {hash_of(docid) for docid in dropped}
    has_text = np.array([h not in without for h in sorted_hashes.tolist()], dtype=bool)
    np.save(folder / "hashes.npy", sorted_hashes[has_text])
    np.save(folder / "rows.npy", order[has_text])
    facts = json.dumps({"kinds": kinds, "dropped": dropped})
    write_whole(folder / "facts.json", facts.encode())


def hash_of(docid: str) -> int:
    """64 bits of an id."""
    raw = hashlib.blake2b(docid.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(raw, "little")


def key_of(path: Path, kind: str) -> str:
    """The checksum of a file and of how it is read."""
    found = hashlib.sha256(f"{FORMAT} {kind}\n".encode())
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()


def cache() -> Path:
    """Where what is made of collections is kept."""
    return Path(os.environ.get(CACHE) or Path.home() / ".cache" / "crosslens") / "collections"
