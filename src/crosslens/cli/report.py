"""`crosslens report`: measure a cross-encoder and write one page about it."""

from pathlib import Path
from typing import Annotated, TYPE_CHECKING

import typer
from rich.console import Console

from .options import Debug, FromCollection, MODEL_HELP, OnDevice, Resume, Tokens
from .running import default_model, EMBEDDED, failing, keeping, quieten, watching


if TYPE_CHECKING:
    from ..findings import Findings
    from ..report.question import Question


def report(
    model: Annotated[
        str | None,
        typer.Argument(
            help=MODEL_HELP,
            show_default=False,
        ),
    ] = None,
    collection: FromCollection = EMBEDDED,
    out: Annotated[Path, typer.Option(help="The folder of the run.")] = Path("crosslens-report"),
    pairs: Annotated[int, typer.Option(help="Pairs of each contrast that are patched.")] = 10,
    seed: Annotated[int, typer.Option(help="Draws pairs and bootstrap samples.")] = 0,
    ranking_pairs: Annotated[
        int, typer.Option(help="Query-document pairs that are ranked, at most.")
    ] = 600,
    tokens: Tokens = 64,
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
        bool, typer.Option("--edges", help="Score the circuit's edges one by one: minutes.")
    ] = False,
    device: OnDevice = None,
    resume: Resume = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the report's path only.")] = False,
    debug: Debug = False,
) -> None:
    """Measure a cross-encoder layer by layer and write it up as one HTML page."""
    say = Console(quiet=quiet, highlight=False)
    with failing(debug):
        quieten()
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
    from ..corpora.reading import collection
    from ..findings import Findings
    from ..model.load import load
    from ..provenance import provenance
    from ..report.measure import measure
    from ..report.page import page

    say.print(f"Loading [bold]{question.model}[/bold] and collection {question.collection}")
    texts = collection(question.collection)
    model = load(question.model, device=device)
    findings = Findings.create(
        out, question.config, provenance=provenance(texts, model=model), resume=resume
    )
    with keeping(findings), watching(say) as watch:
        measure(question, model, texts, findings, watch)
    findings.text("report.html", page(findings))
    return findings


def summary(findings: "Findings", say: Console) -> None:
    """The gist of a report, for the terminal."""
    from ..report.terminal import compared, reacting

    for table in (compared(findings), reacting(findings)):
        if table is not None:
            say.print()
            say.print(table)
    for signal, text in findings.read("statements").query("layer < 0")[["signal", "text"]].values:
        if text.startswith(("Of all roles", "Heads")):
            say.print(f"[bold]{signal}[/bold]  {text}")
