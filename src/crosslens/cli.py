"""The command line: `crosslens report` measures a cross-encoder and writes one page about it.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, UTC
from logging import CRITICAL
from pathlib import Path
from typing import Annotated, Any, Final, TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


if TYPE_CHECKING:
    from .findings import Findings
    from .report.measure import Watch
    from .report.question import Question

PLANTED: Final = "planted:bm25"
EMBEDDED: Final = "embedded"
WRONG_INPUT: Final = 2
INTERRUPTED: Final = 130

app = typer.Typer(
    help="Mechanistic interpretability of cross-encoder rerankers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def crosslens() -> None:
    """Mechanistic interpretability of cross-encoder rerankers."""


@app.command()
def report(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A hub id, a local folder, or a planted model such as planted:bm25. Default: the "
            "embedded reranker.",
            show_default=False,
        ),
    ] = None,
    collection: Annotated[
        str,
        typer.Option(
            help="embedded, a folder with queries, documents and judgements (TREC, MS MARCO or "
            "BEIR style), or ir_datasets:ID."
        ),
    ] = EMBEDDED,
    out: Annotated[Path, typer.Option(help="The folder of the run.")] = Path("crosslens-report"),
    pairs: Annotated[int, typer.Option(help="Pairs of each contrast that are patched.")] = 12,
    seed: Annotated[int, typer.Option(help="Draws pairs and bootstrap samples.")] = 0,
    ranking_pairs: Annotated[
        int, typer.Option(help="Query-document pairs that are ranked, at most.")
    ] = 600,
    tokens: Annotated[
        int, typer.Option(help="The longest pair of a contrast; longer documents lose their end.")
    ] = 64,
    signals: Annotated[
        str | None,
        typer.Option(
            help="Contrasts, separated by commas: TFC1,STMC1,TFC2,LNC2,TDC. Default: all. The "
            "control is always among them.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or cuda:N. Default: cpu.", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the report's path only.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """Measure a cross-encoder layer by layer and write it up as one HTML page."""
    say = Console(quiet=quiet, highlight=False)
    with failing(debug):
        quieten()
        from .report.question import Question, SIGNALS

        question = Question(
            model=model or default_model(),
            collection=collection,
            pairs=pairs,
            seed=seed,
            ranking_pairs=ranking_pairs,
            tokens=tokens,
            signals=tuple(signals.split(",")) if signals else tuple(SIGNALS),
        )
        findings = run(question, out, device=device, resume=resume, say=say)
    path = findings.folder / "report.html"
    if quiet:
        print(path)
        return
    summary(findings, say)
    say.print(f"\nReport: [bold]{path}[/bold]", soft_wrap=True)


def run(
    question: "Question", out: Path, *, device: str | None, resume: bool, say: Console
) -> "Findings":
    """The question put to its model, and the page written."""
    from .corpora.reading import collection
    from .findings import Findings
    from .model.load import load
    from .report.measure import measure, provenance
    from .report.page import page

    begun = time.monotonic()
    say.print(f"Loading [bold]{question.model}[/bold] and collection {question.collection}")
    texts = collection(question.collection)
    model = load(question.model, device=device)
    findings = Findings.create(
        out, question.config, provenance=provenance(model, texts), resume=resume
    )
    before = findings.meta.get("seconds", 0)
    try:
        with watching(say) as watch:
            measure(question, model, texts, findings, watch)
    except KeyboardInterrupt:
        kept = ", ".join(findings.tables()) or "nothing yet"
        findings.note(seconds=before + time.monotonic() - begun)
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
    findings.text("report.html", page(findings))
    return findings


def default_model() -> str:
    """The embedded reranker where the installation has one, else a planted model."""
    folder = Path(__file__).parent / "default" / "reranker"
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


def summary(findings: "Findings", say: Console) -> None:
    """The gist of a report, for the terminal."""
    from .report.terminal import compared, reacting

    for table in (compared(findings), reacting(findings)):
        if table is not None:
            say.print()
            say.print(table)
    for signal, text in findings.read("statements").query("layer < 0")[["signal", "text"]].values:
        if text.startswith(("Of all roles", "Heads")):
            say.print(f"[bold]{signal}[/bold]  {text}")


def main() -> None:
    """The entry point of the `crosslens` command."""
    app()


if __name__ == "__main__":
    main()
