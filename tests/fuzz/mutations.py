"""Sound files, and a few changes of their bytes."""

from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st


PIECES = st.sampled_from(
    [b"\t", b"\n", b"\r", b"\r\n", b" ", b"", b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf"]
    + [b'"', b"{", b"[", b"]", b"}", b"nan", b"Infinity", b"-1", b"1e999", b"9" * 5000, b"\\ud800"]
    + ["\u2028".encode(), "\u0085".encode(), "\u00a0".encode(), b"\x1c", b"#", b"null", b"id\ttext"]
)


@st.composite
def changed(draw: Callable, whole: bytes) -> bytes:
    """The bytes after up to three changes: one insertion, loss, copy of a line, or cut each."""
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(whole)))
        kind = draw(st.sampled_from("insert lose copy cut swap".split()))
        if kind == "insert":
            whole = whole[:at] + draw(PIECES | st.binary(max_size=4)) + whole[at:]
        elif kind == "lose":
            whole = whole[:at] + whole[at + draw(st.integers(1, 12)) :]
        elif kind == "cut":
            whole = whole[:at]
        elif (lines := whole.splitlines(keepends=True)) and kind == "copy":
            i = draw(st.integers(0, len(lines) - 1))
            whole = b"".join([*lines[: i + 1], lines[i], *lines[i + 1 :]])
        elif len(lines) > 1:
            i = draw(st.integers(0, len(lines) - 2))
            lines[i], lines[i + 1] = lines[i + 1], lines[i]
            whole = b"".join(lines)
    return whole


def records(content: bytes) -> list[str]:
    """The lines that are not blank, as a person counts them."""
    text = content.decode("utf-8-sig")
    lines = text.split("\n") if "\n" in text else text.split("\r")
    return [line.rstrip("\r") for line in lines if line.strip()]


def written(folder: Path, files: dict[str, bytes]) -> Path:
    """The folder with these files and no others."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
