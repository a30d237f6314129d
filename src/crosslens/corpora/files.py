"""Lines of text files, and errors that name the file and the line.

Files may be gzipped, or not; ids and texts are UTF-8. Every line is decoded on its own, so that
the one that cannot be read is named.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Final, IO, NamedTuple, NoReturn


CHUNK: Final = 1 << 20  # bytes


class Line(NamedTuple):
    """A line without its end, and where it stands: `docs.tsv.gz:17`."""

    path: Path
    number: int
    text: str

    @property
    def where(self) -> str:
        return f"{self.path}:{self.number}"

    def columns(self, least: int, most: int | None, meaning: str) -> list[str]:
        """The line cut at tabs; an error unless there are `least` to `most` columns."""
        columns = self.text.split("\t")
        if len(columns) < least or (most is not None and len(columns) > most):
            self.refuse(f"found {len(columns)} tab-separated columns, expected {meaning}")
        return columns

    def refuse(self, why: str) -> NoReturn:
        raise ValueError(f"{self.where}: {why}")


def lines(path: Path) -> Iterator[Line]:
    """The lines of a text or gzip file that are not blank.

    Lines end with a line feed, with or without a carriage return; or all of them with a carriage
    return alone.

    Raises:
        ValueError: a damaged gzip file, a line that is not UTF-8, or a carriage return inside of
            one.
    """
    with opened(path) as file:
        for number, raw in enumerate(file, start=1):
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{path}:{number}: not UTF-8 (byte {error.start + 1} of the line is "
                    f"0x{raw[error.start]:02x}); convert the file to UTF-8"
                ) from None
            line = Line(path, number, text)
            if "\r" in text:
                line.refuse(
                    "a carriage return stands inside of the line, so that it may be two; end lines "
                    "with a line feed throughout"
                )
            if text.strip():
                yield line


def below(header: Line, rest: Iterable[Line]) -> Iterator[Line]:
    """The lines below a row of column names.

    Raises:
        ValueError: there are none.
    """
    line = header
    for line in rest:
        yield line
    if line is header:
        raise ValueError(f"{header.path} holds a row of column names and nothing else")


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a text or gzip file, whose lines end with a line feed.

    They are read as they are needed, so that a file may be larger than memory. A gzip file is read
    through once before: damage at its end is known before a line is believed.
    """
    is_zipped = path.suffix == ".gz"
    reader: Any = gzip.open if is_zipped else open
    with reader(path, "rb") as file:
        is_blank, has_line_feed = True, False
        with damage(path):
            while chunk := file.read(CHUNK):
                is_blank = is_blank and not chunk.strip()
                has_line_feed = has_line_feed or b"\n" in chunk
                if has_line_feed and not is_blank and not is_zipped:
                    break
        if is_blank:
            raise ValueError(f"{path} is empty")
        file.seek(0)
        yield file if has_line_feed else BytesIO(file.read().replace(b"\r", b"\n"))


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """What Python calls a damaged gzip file has three names; here it has one error."""
    try:
        yield
    except gzip.BadGzipFile as error:
        raise ValueError(
            f"{path} is not a sound gzip file ({error}); fetch it again, or drop '.gz' from its "
            "name if it is plain text"
        ) from None
    except EOFError:
        raise ValueError(f"{path} is a truncated gzip file; fetch it again") from None
    except zlib.error as error:
        raise ValueError(f"{path} is a damaged gzip file ({error}); fetch it again") from None


def the_one(folder: Path, patterns: Sequence[str]) -> Path | None:
    """The one file of the folder that matches a pattern, if any does.

    Raises:
        ValueError: several match; guessing which is meant would be silent.
    """
    found = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ValueError(f"{folder} holds several files for one purpose: {names}; keep one")
    return found[0] if found else None


def refuse_all(wrong: Sequence[tuple[Line, str]]) -> None:
    """An error that names the first wrong line and counts the others."""
    if wrong:
        line, why = wrong[0]
        others = f" (and {len(wrong) - 1} more lines like it)" if len(wrong) > 1 else ""
        line.refuse(why + others)
