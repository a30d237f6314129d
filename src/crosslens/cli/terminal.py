"""What commands print: text as it is, whatever it holds, and one way to show progress."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, UTC
from logging import CRITICAL
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text


EVERY = 60  # seconds between two lines of one step
OFTEN: Final = 1  # seconds between two of them where a program reads them
Watch = Callable[[str, int, int], None]  # the step, how much of it is done, how much there is


def terminal(*, quiet: bool = False, stderr: bool = False) -> Console:
    """A console that shows names as they are: no markup, no emoji codes, no highlighting."""
    return Console(quiet=quiet, stderr=stderr, markup=False, emoji=False, highlight=False)


def show_path(path: Path) -> None:
    """The path alone on standard output, byte for byte."""
    sys.stdout.flush()
    if hasattr(sys.stdout, "buffer"):
        sys.stdout.buffer.write(os.fsencode(path) + b"\n")
        sys.stdout.flush()
    else:
        print(path)


def say_where(say: Console, label: str, path: Path | str) -> None:
    """A label and a path or an address, in bold and never broken into lines."""
    say.print(Text.assemble(f"{label}: ", (str(path), "bold")), soft_wrap=True)


def quieten() -> None:
    """Keep other libraries from writing over our progress bars."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    hub_logging.set_verbosity(CRITICAL)  # what fails is said once, by our error
    logging.set_verbosity_error()
    logging.disable_progress_bar()


@contextmanager
def watching(say: Console, **about: str) -> Iterator[Watch]:
    """Progress bars on a terminal, a line per step and minute elsewhere, nothing where quiet.

    Where the log is of JSON, `about` stands in every object.
    """
    if is_json():
        yield json_lines(**about)
        return
    if say.quiet or not say.is_terminal:
        yield lines(say)
        return
    columns = (
        TextColumn("{task.description:<28}", markup=False),
        BarColumn(bar_width=36),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    # the pace of ten minutes: some steps report once in a minute only
    with Progress(*columns, console=say, speed_estimate_period=600) as bars:
        tasks: dict[str, Any] = {}

        def watch(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done, total=total)

        yield watch


def lines(say: Console) -> Watch:
    """A line when a step begins; then, once in a minute, its share and the time it has left."""
    begun: dict[str, tuple[float, int]] = {}
    shown: dict[str, float] = {}

    def watch(step: str, done: int, total: int) -> None:
        now = time.monotonic()
        if step not in begun:
            begun[step], shown[step] = (now, done), now
            say.print(f"{step} …")
        start, before = begun[step]
        if now - shown[step] >= EVERY and before < done < total:
            shown[step] = now
            left = (now - start) * (total - done) / (done - before)
            say.print(f"{step}: {done / total:.0%}, about {max(1, round(left / 60))} min left")

    return watch


_LOG: ContextVar[str] = ContextVar("log", default="text")


@contextmanager
def logging_as(log: str) -> Iterator[None]:
    """Progress and errors are "text" for people, or "json" for programs."""
    before = _LOG.set(log)
    try:
        yield
    finally:
        _LOG.reset(before)


def is_json() -> bool:
    """Whether programs read what is logged."""
    return _LOG.get() == "json"


def log_line(event: str, **facts: Any) -> None:
    """One object on one line of standard error: the time, in UTC, what happened, and facts."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    print(json.dumps({"time": now, "event": event, **facts}), file=sys.stderr, flush=True)


def json_lines(**about: str) -> Watch:
    """`done`, `total` and `seconds_left` of a step: as it begins and ends, and once in a second."""
    begun: dict[str, tuple[float, int]] = {}
    shown: dict[str, float] = {}

    def watch(step: str, done: int, total: int) -> None:
        now = time.monotonic()
        is_first = step not in begun
        start, before = begun.setdefault(step, (now, done))
        if is_first or done == total or now - shown[step] >= OFTEN:
            shown[step] = now
            left = (now - start) * (total - done) / (done - before) if done > before else None
            facts = {"done": done, "total": total, "seconds_left": left and round(left, 1)}
            log_line(step, **facts, **about)

    return watch
