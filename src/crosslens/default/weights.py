"""The embedded reranker's files, checked before they are used."""

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Final


CHECKSUMS: Final = "checksums.json"


def embedded_reranker() -> Path:
    """The folder of the reranker that comes with the package, whole and undamaged.

    Raises:
        FileNotFoundError: this installation holds none, or a file of it is missing.
        ValueError: a file is not the one that was shipped.
    """
    return checked(Path(str(files("crosslens") / "default" / "reranker")))


def checked(folder: Path) -> Path:
    """`folder`, if each of its files has the SHA-256 that its checksums.json states."""
    listed = folder / CHECKSUMS
    if not listed.is_file():
        raise FileNotFoundError(
            f"this installation holds no embedded reranker (looked in {folder}); install crosslens "
            "again, or name a checkpoint: load('planted:bm25') needs no weights"
        )
    for name, expected in json.loads(listed.read_text()).items():
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"the embedded reranker lacks {path}; install crosslens again")
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != expected:
            raise ValueError(
                f"{path} is damaged: its SHA-256 is {found[:12]}…, {expected[:12]}… was shipped; "
                "install crosslens again (pip install --force-reinstall)"
            )
    return folder
