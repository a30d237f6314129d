import errno
import os
from pathlib import Path

import pytest

from crosslens.writing import file_name, remove_unfinished, UNFINISHED, write_whole


def failing(error: BaseException) -> object:
    def fail(*_: object) -> None:
        raise error

    return fail


def test_a_file_is_written_with_its_folder_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "some" / "where.txt"
    assert write_whole(path, b"one") == path
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), PermissionError("no")])
def test_an_interruption_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = write_whole(tmp_path / "kept.txt", b"one")
    monkeypatch.setattr(os, "fsync", failing(error))
    with pytest.raises(type(error)):
        write_whole(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_said_with_folder_need_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match=r"no disk space left in .*: x.bin needs 3,000 kB .*--out"):
        write_whole(tmp_path / "x.bin", bytes(3_000_000))
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_swept_up(tmp_path: Path) -> None:
    (tmp_path / "chunks").mkdir()
    (tmp_path / "chunks" / f"{UNFINISHED}abc").write_bytes(b"half")
    kept = write_whole(tmp_path / "chunks" / "whole.txt", b"whole")
    remove_unfinished(tmp_path)
    assert list(kept.parent.iterdir()) == [kept]


@pytest.mark.parametrize("name", ["", "../up", "a b", ".hidden", "a/b", "ä"])
def test_a_name_that_is_no_file_name_everywhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a file"):
        file_name(name)


def test_an_ordinary_name_is_kept() -> None:
    assert file_name("layer-head_3.v2+x") == "layer-head_3.v2+x"
