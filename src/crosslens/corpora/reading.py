"""From a name to a collection: a folder, an ir_datasets id, or the embedded one."""

from collections.abc import Collection as Ids
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Final

from .beir import is_beir, read_beir
from .catalogue import read_ir_datasets
from .collection import Collection
from .trec import read_trec


EMBEDDED: Final = "embedded"
IR_DATASETS: Final = "ir_datasets:"


def collection(name: str | Path = EMBEDDED, *, only: Ids[str] | None = None) -> Collection:
    """The collection of that name.

    Args:
        name: "embedded" for the one inside the package; "ir_datasets:beir/scifact/test" and the
            like for public ones; otherwise a folder in the style of TREC, MS MARCO or BEIR.
        only: the ids of the documents to hold in memory, of a file that may be larger; there are
            then no candidates before `with_candidates(run)`.

    Raises:
        FileNotFoundError: there is no such folder, or it lacks a file.
        ValueError: a file is broken; names the file and the line.
        ImportError: an ir_datasets name without ir_datasets.
    """
    written = str(name)
    if written == EMBEDDED:
        return embedded(only)
    if written.startswith(IR_DATASETS):
        return read_ir_datasets(written.removeprefix(IR_DATASETS), only)
    folder = Path(name).resolve()
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise FileNotFoundError(
            f"collection {written!r}: {folder} {what}. Name a folder with queries, documents and "
            f"judgements, {EMBEDDED!r}, or an ir_datasets id such as "
            f"'{IR_DATASETS}beir/scifact/test'"
        )
    return read_beir(folder, only) if is_beir(folder) else read_trec(folder, only)


def embedded(only: Ids[str] | None = None) -> Collection:
    """The collection that comes with the package: six fields, passages by type, grades 0 to 3."""
    folder = Path(str(files("crosslens") / "default" / "collection"))
    if not folder.is_dir():
        raise FileNotFoundError(
            f"this installation holds no embedded collection (looked in {folder}); install "
            "crosslens again, or name a folder or an ir_datasets id"
        )
    return replace(read_trec(folder, only), name=EMBEDDED, source="the crosslens package")
