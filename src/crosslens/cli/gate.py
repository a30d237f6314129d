"""How a command ends: exit codes, one clear line for what is wrong, signals.

0    done
2    something that the user can set right: one line names it and the way out; a full disk and a
     lost folder too, and what is finished is kept
3    a fault of CrossLens: one line to report; --debug shows the traceback
130  interrupted (Ctrl-C), 143 terminated (SIGTERM): what is finished is kept, and one line says how
     to go on; before a command has begun, a shell shows 143 too, and nothing is said
"""

import dis
import errno
import logging
import signal
import sys
import textwrap
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Final

import typer

from ..not_measurable import NotMeasurable
from .terminal import is_json, log_line, logging_as


WRONG: Final = 2
FAULT: Final = 3
LONGEST: Final = 1_000  # characters of an error that are shown without --debug
INTERRUPTED: Final = 128 + signal.SIGINT
TERMINATED: Final = 128 + signal.SIGTERM
# whatever raises them: files, the network, memory, texts of another encoding
SURROUNDINGS: Final = (OSError, MemoryError, UnicodeError, BrokenExecutor, NotMeasurable)
# a disk or a network folder that is full, gone or broken: nothing that the command asked for
LOST: Final = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENODEV),
    *(errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EREMOTEIO),
}
GOES_ON: Final = "The same command with --resume goes on from there."
ON_PURPOSE: Final = (ValueError, LookupError, TypeError, ImportError)


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM."""


@contextmanager
def gate(debug: bool, log: str = "text", goes_on: str = "") -> Iterator[None]:
    """Every error of a command as one line and an exit code; with `debug`, its traceback too.

    Where `log` is json, the line is an object, as those of progress are (`terminal.json_lines`).
    `goes_on` says how a command goes on that was interrupted, or whose disk was lost.
    """
    with logging_as(log), _terminable(), _noting():
        try:
            yield
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except KeyboardInterrupt as error:
            raise typer.Exit(interrupted(error, goes_on)) from None
        except Exception as error:
            if debug:
                traceback.print_exc()
            if is_users(error):
                line = f"Error: {gist(error)}"
                if goes_on and is_lost(error) and "--resume" not in line:
                    line = f"{line}. What is finished is kept. {goes_on}"
                _say("error", line)
                raise typer.Exit(WRONG) from None
            more = "" if debug else " The same command with --debug shows the whole traceback."
            _say(
                "fault",
                f"Error: this is a fault of CrossLens, please report it: {type(error).__name__}: "
                f"{gist(error)} ({_place(error)}).{more}",
            )
            raise typer.Exit(FAULT) from None


def is_lost(error: Exception) -> bool:
    """Whether a disk or a folder of the network is to blame."""
    return isinstance(error, OSError) and error.errno in LOST


def interrupted(error: KeyboardInterrupt, kept: str = "") -> int:
    """Says so, and what is kept; the exit code. Further signals change nothing any more."""
    deafen()
    terminated = isinstance(error, Terminated)
    word = "Terminated" if terminated else "Interrupted"
    _say(word.lower(), f"\n{word}.{kept and ' ' + kept}")
    return TERMINATED if terminated else INTERRUPTED


def deafen() -> None:
    """Ignore further signals: launchers send several, and what is kept is to be written whole."""
    if threading.current_thread() is threading.main_thread():
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)


def is_users(error: Exception) -> bool:
    """Whether a user can set this right: raised on purpose by CrossLens, or by the surroundings.

    An error of the same class that another library raises inside of CrossLens, or that an
    expression raises without being asked to, is a fault.
    """
    torch = sys.modules.get("torch")
    if isinstance(error, SURROUNDINGS) or (torch and isinstance(error, torch.OutOfMemoryError)):
        return True
    if not isinstance(error, ON_PURPOSE) or isinstance(error, IndexError | KeyError):
        return False
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None or not _is_ours(last.tb_frame):
        return False
    instruction = last.tb_frame.f_code.co_code[last.tb_lasti]
    return dis.opname[instruction] == "RAISE_VARARGS"


def gist(error: BaseException) -> str:
    """The error in one line."""
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        text = f"out of memory ({error}); ask for fewer --pairs" if str(error) else "out of memory"
    elif isinstance(error, BrokenExecutor):
        text = f"a process at work was killed, often for lack of memory ({error}); use fewer --jobs"
    else:
        text = str(error)
    return textwrap.shorten(text, LONGEST, placeholder=" …") or type(error).__name__


def _place(error: BaseException) -> str:
    """Where in CrossLens it happened: the innermost frame that is ours."""
    frames = [each for each, _ in traceback.walk_tb(error.__traceback__) if _is_ours(each)]
    lines = [line for each, line in traceback.walk_tb(error.__traceback__) if _is_ours(each)]
    if not frames:
        return "outside of CrossLens"
    return f"{frames[-1].f_globals['__name__']}:{lines[-1]}, in {frames[-1].f_code.co_name}"


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == "crosslens"


def _say(event: str, line: str) -> None:
    if is_json():
        log_line(event, message=line.strip())
    else:
        print(line, file=sys.stderr)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate), signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)


class Notes(logging.Handler):
    """What the library notes, such as batches that were halved, as a line or an object."""

    def emit(self, record: logging.LogRecord) -> None:
        _say("note", record.getMessage())


@contextmanager
def _noting() -> Iterator[None]:
    """Notes of the library are said as everything else is."""
    log, notes = logging.getLogger("crosslens"), Notes(logging.WARNING)
    log.addHandler(notes)
    try:
        yield
    finally:
        log.removeHandler(notes)
