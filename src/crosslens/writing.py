"""Files that appear whole or not at all.

They are written beside their place and then moved there, so that an interruption, a full disk
or a reader at the wrong moment never meets half a file.
"""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final


UNFINISHED: Final = ".unfinished-"


def write_whole(path: Path, content: bytes) -> Path:
    """The file with this content, in a folder made if need be.

    Raises:
        OSError: the disk is full; says what was needed and what to do.
    """
    with room(path, len(content)):
        path.parent.mkdir(parents=True, exist_ok=True)
        # not by tempfile, whose files only their owner may read
        begun = path.parent / f"{UNFINISHED}{secrets.token_hex(8)}"
        try:
            with open(begun, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(begun, path)
        except BaseException:  # Ctrl-C too: nothing half-written stays behind
            begun.unlink(missing_ok=True)
            raise
    return path


def sweep_up(folder: Path) -> None:
    """Removes what a killed process left unfinished; no other may be writing there."""
    for left_over in folder.rglob(f"{UNFINISHED}*"):
        left_over.unlink(missing_ok=True)


@contextmanager
def room(path: Path, size: int) -> Iterator[None]:
    """A full disk, said with the folder, what was to be written and what is free."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        there = next(each for each in path.parents if each.exists())
        free = shutil.disk_usage(there).free
        raise OSError(
            error.errno,
            f"no disk space left in {path.parent}: {path.name} needs {-(-size // 1000):,} kB and "
            f"{free // 1000:,} kB are free. Everything written before is kept; make room and go "
            "on with --resume, or name a folder elsewhere with --out",
        ) from error


def file_name(name: str) -> str:
    """The name, if it can be a file name everywhere."""
    if not re.fullmatch(r"[\w-][\w.+-]*", name, flags=re.ASCII):
        raise ValueError(f"{name!r} cannot name a file; use letters, digits, '.', '-', '+' and '_'")
    return name
