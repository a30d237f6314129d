"""Long commands lose nothing: signals, full disks and lost folders end with the way to go on.

What is finished by then is not computed again.
"""

import errno
import logging
import os
import shutil
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from command_line import crosslens
from short_texts import short_texts
from trec_files import write_trec

from crosslens import Findings
from crosslens.cli.gate import gate, GOES_ON


SMALL = "planted:bm25?layers=3&heads=3&decoys=1&busy"

pytestmark = pytest.mark.usefixtures("loaded_once")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr("crosslens.reranking.parts.PAIRS", 5)


@pytest.fixture(autouse=True)
def computed(monkeypatch) -> list[str]:
    """The parts of runs that are computed, by key, whatever becomes of them."""
    keys, whole = list[str](), Findings.parts

    def parts(findings, tables, computes, *watch):
        def noted(key):
            def compute():
                keys.append(key)
                return computes[key]()

            return compute

        return whole(findings, tables, {key: noted(key) for key in computes}, *watch)

    monkeypatch.setattr(Findings, "parts", parts)
    return keys


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_trec(tmp_path_factory.mktemp("collection"), short_texts(5, 3))


class Command:
    """A command whose run is written to a folder of its own, and the files that it makes."""

    def __init__(self, name: str, folder: Path, out: Path) -> None:
        asked = {
            "rerank": ["rerank", "--model", SMALL],
            "analyse": ["analyse", "term_frequency", SMALL, "--pairs", "2"],
        }
        self.out, self.is_folder = out, name == "analyse"
        self.words = [*asked[name], "--collection", str(folder), "--out", str(out)]

    def run(self, *more: str):
        return crosslens(*self.words, *more)

    def finished(self) -> set[str]:
        """The parts that are kept, by key."""
        kept = self.out if self.is_folder else Path(f"{self.out}.parts")
        return {path.stem for path in kept.glob("chunks/*/*.parquet")}

    def made(self) -> dict[str, bytes]:
        tables = self.out.glob("*.parquet") if self.is_folder else [self.out]
        made = {path.name: path.read_bytes() for path in tables}
        assert made
        return made

    def clear(self) -> None:
        shutil.rmtree(self.out if self.is_folder else f"{self.out}.parts", ignore_errors=True)
        if not self.is_folder:
            self.out.unlink(missing_ok=True)


def gone_on_with(
    command: Command, computed: list[str], expected: dict[str, bytes], where: object
) -> tuple[int, int]:
    """The run ends as if nothing had happened; how many parts it finds finished, and computes."""
    before = command.finished()
    computed.clear()
    again = command.run("--resume")
    assert again.exit_code == 0, (where, again.output)
    assert sorted(computed) == sorted(command.finished() - before), where
    assert command.made() == expected, where
    return len(before), len(computed)


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory) -> Callable[[str], dict[str, bytes]]:
    """The files that a command makes when nothing goes wrong."""

    @cache
    def of(name: str) -> dict[str, bytes]:
        command = Command(name, folder, tmp_path_factory.mktemp(name) / "run")
        assert command.run().exit_code == 0
        return command.made()

    return of


def at_some_calls(name: str, act, command: Command, monkeypatch):
    """The command, at some calls of the function `name` each a run in which `act` happens instead.

    The first calls, and ever fewer of later ones: the 1st, 2nd, 4th, 8th, ...
    """
    target, _, attribute = name.rpartition(".")
    whole = getattr(__import__(target) if target == "os" else Path, attribute)
    place = 0
    while True:
        calls, acted = 0, False

        def instead(*args, place=place, **options):
            nonlocal calls, acted
            calls += 1
            if calls == place + 1:
                acted = True
                act()
            return whole(*args, **options)

        command.clear()
        with monkeypatch.context() as patched:
            patched.setattr(os if target == "os" else Path, attribute, instead)
            result = command.run()
        if not acted:
            return
        yield place, result
        place = 2 * place + 1


@pytest.mark.parametrize(
    ("name", "number"),
    [("rerank", signal.SIGTERM), ("rerank", signal.SIGINT), ("analyse", signal.SIGTERM)],
)
def test_a_signal_at_any_write_ends_with_one_message_and_the_run_goes_on(
    name, number, folder, whole, tmp_path, monkeypatch, computed
):
    command, expected = Command(name, folder, tmp_path / "run"), whole(name)

    def signalled():
        os.kill(os.getpid(), number)

    counts = []
    for place, result in at_some_calls("os.replace", signalled, command, monkeypatch):
        assert result.exit_code == 128 + number, (place, result.output)
        word = "Terminated" if number == signal.SIGTERM else "Interrupted"
        assert result.stderr.count(word) == 1 and result.stderr.count(GOES_ON) == 1, place
        counts.append(gone_on_with(command, computed, expected, place))
    assert len(counts) > 2 and any(map(all, counts)), "none was in the midst of its parts"


@pytest.mark.parametrize(
    ("asked", "name", "number"),
    [
        ("analyse", "os.replace", errno.ENOSPC),
        ("analyse", "Path.read_bytes", errno.ESTALE),
        ("rerank", "os.replace", errno.ENOENT),
        ("rerank", "Path.read_bytes", errno.EIO),
        ("rerank", "Path.mkdir", errno.EROFS),
        ("rerank", "Path.is_file", errno.ESTALE),
    ],
)
def test_a_disk_that_is_lost_at_any_moment_is_said_with_the_way_out(
    asked, name, number, folder, whole, tmp_path, monkeypatch, computed
):
    command, expected = Command(asked, folder, tmp_path / "run"), whole(asked)
    counts = []

    def lost():
        raise OSError(number, os.strerror(number))

    for place, result in at_some_calls(name, lost, command, monkeypatch):
        where = (name, place, result.output)
        lines = result.stderr.strip().splitlines()
        assert result.exit_code == 2 and lines[-1].startswith("Error: "), where
        assert len([line for line in lines if "Error" in line]) == 1, where
        assert "--resume" in lines[-1] or "with --out" in lines[-1], where
        counts.append(gone_on_with(command, computed, expected, place))
    assert any(map(all, counts)), f"none was in the midst of its parts: {counts}"


def test_a_run_folder_that_vanishes_is_said_and_not_made_anew(folder, tmp_path, monkeypatch):
    command = Command("rerank", folder, tmp_path / "run")
    for place, result in at_some_calls("os.replace", command.clear, command, monkeypatch):
        if place < 2:  # the run was only being made
            continue
        assert result.exit_code == 2 and "--resume" in result.stderr, (place, result.output)
        assert not Path(f"{command.out}.parts/config.yaml").exists()


def test_a_second_signal_changes_nothing(capsys):
    """Launchers send several: the first ends the command, and what it writes is written whole."""

    class Ended(Exception):
        pass

    def saying(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(BaseException) as ended:
        patched.setattr("crosslens.cli.gate._say", saying)
        with gate(False, goes_on=GOES_ON):
            os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.exit_code == 143
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_what_the_library_notes_is_a_line_or_an_object(capsys):
    with gate(False):
        logging.getLogger("crosslens.batching.batch_size").warning("out of memory: halved")
    with gate(False, "json"):
        logging.getLogger("crosslens.batching.batch_size").warning("out of memory: halved")
    line, record = capsys.readouterr().err.splitlines()
    assert line == "out of memory: halved"
    assert '"event": "note"' in record and '"message": "out of memory: halved"' in record


def test_a_missing_file_of_the_user_is_not_said_to_be_resumed(folder, tmp_path):
    asked = ["analyse", "early_exit", SMALL, "--collection", "nowhere", "--out", tmp_path]
    result = crosslens(*asked)
    assert result.exit_code == 2 and "--resume" not in result.stderr
