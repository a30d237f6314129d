"""`crosslens report`: measure a cross-encoder and write one page about it."""

from pathlib import Path
from typing import Annotated, TYPE_CHECKING

import typer
from rich.console import Console

from . import options
from .gate import gate, GOES_ON
from .running import default_model, EMBEDDED, running
from .terminal import quieten, say_where, show_path, terminal


if TYPE_CHECKING:
    from ..findings import Findings


def report(
    model: options.Model = None,
    collection: options.FromCollection = EMBEDDED,
    out: options.Out = Path("crosslens-report"),
    pairs: Annotated[int, typer.Option(help="Pairs of each contrast that are patched.")] = 10,
    seed: options.Seed = 0,
    ranking_pairs: Annotated[
        int, typer.Option(help="Query-document pairs that are ranked, at most.")
    ] = 600,
    tokens: options.Tokens = 64,
    signals: Annotated[
        str | None,
        typer.Option(
            help="Contrasts, separated by commas: TFC1,STMC1,TFC2,LNC2,TDC. Default: all. The "
            "control is always among them.",
            show_default=False,
        ),
    ] = None,
    circuit: Annotated[
        bool,
        typer.Option("--circuit/--no-circuit", help="Test claims and trace the circuit, or not."),
    ] = True,
    edges: Annotated[
        bool, typer.Option("--edges", help="Score the circuit's edges one by one as well.")
    ] = False,
    device: options.OnDevice = None,
    dtype: options.Precision = "fp32",
    resume: options.Resume = False,
    log: options.Log = "text",
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure a cross-encoder layer by layer and write it up as one HTML page."""
    say = terminal(quiet=quiet)
    with gate(debug, log, GOES_ON):
        quieten()
        from ..report.measure import measure
        from ..report.page import page
        from ..report.question import Question, SIGNALS

        question = Question(
            model=model or default_model(),
            collection=collection,
            pairs=pairs,
            seed=seed,
            ranking_pairs=ranking_pairs,
            tokens=tokens,
            signals=tuple(signals.split(",")) if signals else tuple(SIGNALS),
            circuit=circuit,
            edges=edges,
        )
        with running(
            question.config,
            out,
            model=question.model,
            collections=[collection],
            device=device,
            dtype=dtype,
            unsplit="crosslens report",
            resume=resume,
            say=say,
        ) as run:
            assert run.model is not None
            (texts,) = run.collections
            measure(question, run.model, texts, run.findings, run.watch)
        path = run.findings.text("report.html", page(run.findings))
        if quiet:
            show_path(path)
            return
        summary(run.findings, say)
        say_where(say, "\nReport", path)


def summary(findings: "Findings", say: Console) -> None:
    """The gist of a report, for the terminal."""
    from ..report.terminal import compared, gist, reacting, unmeasured

    for table in (compared(findings), reacting(findings)):
        if table is not None:
            say.print()
            say.print(table)
    for line in (*gist(findings), *unmeasured(findings)):
        say.print(line)
