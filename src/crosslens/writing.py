"""Files that appear whole or not at all, and that notice when they were damaged since.

`write_whole` writes beside the place and then moves: an interruption, a full disk or a reader at
the wrong moment never meets half a file. `write_checked` also keeps the SHA-256 of the content in
a journal of the folder, and `read_checked` refuses content that the journal does not know.

The journal is written first. A process that is killed between the two leaves a line too many and
the former file, which an earlier line still vouches for.
"""

import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final


UNFINISHED: Final = ".unfinished-"
CHECKSUMS: Final = "checksums.sha256"  # lines as those of sha256sum
LINE: Final = re.compile(r"([0-9a-f]{64})  (.+)")


class Damaged(ValueError):
    """A file does not hold what was written to it."""


def write_whole(path: Path, content: bytes) -> Path:
    """The file with this content, in a folder made if need be.

    Raises:
        OSError: the disk is full or nothing may be written there; says so, and what to do.
    """
    return write_parts(path, [content])


def write_parts(path: Path, parts: Iterable[bytes]) -> Path:
    """As `write_whole`, the content in parts, one of which at a time is in memory."""
    size = 0
    with _writing(path, lambda: size):
        path.parent.mkdir(parents=True, exist_ok=True)
        # not by tempfile, whose files only their owner may read
        begun = path.parent / f"{UNFINISHED}{secrets.token_hex(8)}"
        try:
            with open(begun, "xb") as file:
                for part in parts:
                    size += len(part)
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            os.replace(begun, path)
        except BaseException:  # Ctrl-C too: nothing half-written stays behind
            begun.unlink(missing_ok=True)
            raise
    return path


def write_checked(path: Path, content: bytes) -> Path:
    """As `write_whole`, and `read_checked` will know the content.

    One process at a time may write in a folder.
    """
    line = f"{hashlib.sha256(content).hexdigest()}  {path.name}\n".encode()
    with _writing(path, lambda: len(content)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path.parent / CHECKSUMS, "a+b") as journal:
            if journal.tell():
                journal.seek(-1, os.SEEK_END)
                if journal.read(1) != b"\n":  # cut by a full disk or a power failure
                    line = b"\n" + line
            journal.write(line)
            journal.flush()
            os.fsync(journal.fileno())
    return write_whole(path, content)


def read_checked(path: Path, remedy: str) -> bytes:
    """The content, which is what was written there.

    Raises:
        FileNotFoundError: there is no such file.
        Damaged: the file differs from what was written; names it and the remedy.
    """
    with _reading(path):
        content = path.read_bytes()
        known = checksums(path.parent).get(path.name, ())
    digest = hashlib.sha256(content).hexdigest()
    if digest not in known:
        why = (
            f"its checksum is not the one in {CHECKSUMS}"
            if known
            else f"{path.parent / CHECKSUMS} has no checksum of it"
        )
        raise Damaged(f"{path} is damaged ({len(content):,} bytes): {why}; {remedy}")
    return content


def checksums(folder: Path) -> dict[str, set[str]]:
    """Every checksum that was ever written of each file of the folder, by the file's name."""
    try:
        text = (folder / CHECKSUMS).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    known: dict[str, set[str]] = {}
    for found in map(LINE.fullmatch, text.splitlines()):
        if found:
            known.setdefault(found[2], set()).add(found[1])
    return known


def damaged(folder: Path) -> set[str]:
    """The files written in the folder that are gone by now, or hold something else."""
    found = set()
    for name, known in checksums(folder).items():
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() not in known:
            found.add(name)
    return found


def remove_unfinished(folder: Path, but: str = "") -> None:
    """Removes what a killed process left unfinished; no other may be writing there.

    What others write stands in the folder called `but`.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != but]
        for name in files:
            if name.startswith(UNFINISHED):
                (Path(place) / name).unlink(missing_ok=True)


def file_name(name: str) -> str:
    """The name, if it can be a file name everywhere."""
    if not re.fullmatch(r"[\w-][\w.+-]*", name, flags=re.ASCII):
        raise ValueError(f"{name!r} cannot name a file; use letters, digits, '.', '-', '+' and '_'")
    return name


@contextmanager
def made_anew(folder: Path) -> Iterator[None]:
    """What cannot be read of a folder that can be made again is an error that says so.

    Raises:
        Damaged: a file of it is cut or gone.
    """
    try:
        yield
    except (FileNotFoundError, EOFError, ValueError) as error:  # of JSON, NumPy or Arrow
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise Damaged(f"{folder} is damaged ({why}): delete it, and it is made anew") from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """An error of the disk, with the folder and the way out."""
    try:
        yield
    except OSError as error:
        raise type(error)(
            error.errno,
            f"cannot read {path.name} in {path.parent}: {error.strerror or error}. What is "
            "finished is kept: go on with --resume when the folder can be read again, or begin "
            "anew in another with --out",
        ) from error


@contextmanager
def _writing(path: Path, size: Callable[[], int]) -> Iterator[None]:
    """An error of the disk, with the folder, what was to be written and the way out."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            there = next(each for each in path.absolute().parents if each.is_dir())
            free = shutil.disk_usage(there).free
            raise OSError(
                error.errno,
                f"no disk space left in {path.parent}: {path.name} needs {-(-size() // 1000):,} kB "
                f"and {free // 1000:,} kB are free. Everything written before is kept; free some "
                "space and go on with --resume, or name a folder elsewhere with --out",
            ) from error
        reason = error.strerror or str(error)
        raise type(error)(
            error.errno,
            f"cannot write {path.name} in {path.parent}: {reason}. Everything written before is "
            "kept: go on with --resume when the folder can be written to, or name another with "
            "--out",
        ) from error
