"""What the commands share: one clear line when something is wrong, and progress."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, UTC
from importlib.resources import files
from logging import CRITICAL
from typing import Any, Final, TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


if TYPE_CHECKING:
    from ..findings import Findings
    from ..report.question import Watch

PLANTED: Final = "planted:bm25"
EMBEDDED: Final = "embedded"
WRONG_INPUT: Final = 2
INTERRUPTED: Final = 130


def default_model() -> str:
    """The embedded reranker where the installation has one, else a planted model."""
    folder = files("crosslens") / "default" / "reranker"
    return EMBEDDED if (folder / "config.json").is_file() else PLANTED


@contextmanager
def failing(debug: bool) -> Iterator[None]:
    """Turn what a user can set right into one clear line and exit code 2."""
    try:
        yield
    except (ValueError, LookupError, OSError, TypeError, ImportError, MemoryError) as error:
        if debug:
            raise
        said = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        print(f"Error: {said or type(error).__name__}", file=sys.stderr)
        raise typer.Exit(WRONG_INPUT) from None


@contextmanager
def keeping(findings: "Findings") -> Iterator[None]:
    """Notes how long the run took; an interruption says what is kept and how to go on."""
    begun, before = time.monotonic(), findings.meta.get("seconds", 0)
    try:
        yield
    except KeyboardInterrupt:
        findings.note(seconds=before + time.monotonic() - begun)
        kept = ", ".join(findings.tables()) or "nothing yet"
        print(
            f"\nInterrupted. Kept in {findings.folder}: {kept}.\n"
            "The same command with --resume goes on from there.",
            file=sys.stderr,
        )
        raise typer.Exit(INTERRUPTED) from None
    findings.note(
        seconds=before + time.monotonic() - begun,
        finished=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def quieten() -> None:
    """Keep other libraries from writing over our progress bars."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    hub_logging.set_verbosity(CRITICAL)  # what fails is said once, by our error

    logging.set_verbosity_error()
    logging.disable_progress_bar()


@contextmanager
def watching(say: Console) -> Iterator["Watch"]:
    """Progress bars on a terminal, a line per step elsewhere, nothing where it is quiet."""
    if say.quiet or not say.is_terminal:
        yield lines(say)
        return
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=36),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=say) as bars:
        tasks: dict[str, Any] = {}

        def watch(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done, total=total)

        yield watch


def lines(say: Console) -> Callable[[str, int, int], None]:
    """One line when a step begins."""
    seen: set[str] = set()

    def watch(step: str, done: int, total: int) -> None:
        if step not in seen:
            seen.add(step)
            say.print(f"{step} …")

    return watch
