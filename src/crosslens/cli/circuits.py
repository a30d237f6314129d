"""`crosslens circuits`: the catalogue of claims, and the test that any model can be put to."""

from pathlib import Path
from typing import Annotated, Any, TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from . import options
from .gate import gate, GOES_ON
from .running import default_model, EMBEDDED, running
from .terminal import quieten, say_where, show_path, terminal


if TYPE_CHECKING:
    from typer import Context

    from crosslens.circuits.claim import Claim

    from ..findings import Findings
else:
    Context = typer.Context.__base__  # what typer passes; its own class is for annotations only

circuits = typer.Typer(
    help="What is claimed of cross-encoders, and whether it holds for a model.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
FEWEST = 5  # pairs; with fewer no claim is decided


@circuits.callback(invoke_without_command=True)
def listed(context: Context) -> None:
    """Without a command: the catalogue of claims."""
    if context.invoked_subcommand is not None:
        return
    with gate(debug=False):
        from crosslens.circuits.catalogue import CLAIMS

        say = terminal()
        for claim in CLAIMS.values():
            say.print(Text(claim.name, "bold"))
            table = Table.grid(padding=(0, 2))
            for label, text in described(claim):
                table.add_row("", Text(label, "dim"), text)
            say.print(table)
            say.print()
        say.print("Test one, or all: crosslens circuits test NAME MODEL --out FOLDER")


def described(claim: "Claim[Any]") -> list[tuple[str, str]]:
    """What the catalogue says of a claim, labelled."""
    known = [
        (
            "known",
            f"{checkpoint}: {len(each.members)} members ({each.sure})"
            if each.members
            else f"{checkpoint}: no member ({each.sure})",
        )
        for checkpoint, each in claim.known.items()
    ]
    return [("claim", claim.claim), ("test", claim.test), ("source", claim.source), *known]


@circuits.command()
def test(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A claim of the catalogue, or all.")],
    model: options.Model = None,
    collection: options.FromCollection = EMBEDDED,
    out: options.Out = Path("crosslens-circuits"),
    pairs: Annotated[int, typer.Option(help="Pairs of each contrast, at most.")] = 10,
    seed: options.Seed = 0,
    tokens: options.Tokens = 64,
    device: options.OnDevice = None,
    dtype: options.Precision = "fp32",
    resume: options.Resume = False,
    log: options.Log = "text",
    quiet: options.Quiet = False,
    debug: options.Debug = False,
    also_model: options.ModelToo = None,
) -> None:
    """Confirm or refute a claim for a model, with figures and their controls."""
    say = terminal(quiet=quiet)
    with gate(debug, log, GOES_ON):
        quieten()
        from crosslens.circuits.catalogue import named
        from crosslens.circuits.examine import examine

        claims = named(name)
        if pairs < FEWEST or tokens < 16:
            raise ValueError(
                f"--pairs is {pairs} and --tokens {tokens}; a test needs at least {FEWEST} and 16"
            )
        asked = {
            "claim": name,
            "model": options.chosen_model(model, also_model) or default_model(),
            "collection": collection,
            "pairs": pairs,
            "seed": seed,
            "tokens": tokens,
        }
        with running(
            asked,
            out,
            model=asked["model"],
            collections=[collection],
            device=device,
            dtype=dtype,
            unsplit="crosslens circuits test",
            resume=resume,
            say=say,
        ) as run:
            from crosslens.circuits.evidence import Evidence

            assert run.model is not None
            (texts,) = run.collections
            evidence = Evidence.of(
                run.model, texts, pairs, seed=seed, tokens=tokens, watch=run.watch
            )
            examine(claims, evidence, run.findings)
        folder = run.findings.folder
        if quiet:
            show_path(folder)
            return
        show(run.findings, say)
        say_where(say, "\nTables and circuit", folder)


def show(findings: "Findings", say: Console) -> None:
    """The figures of every claim as a table, and the verdict in a sentence."""
    from crosslens.circuits.claim import sentence

    from ..report.frames import read

    figures, claims = read(findings, "figures"), read(findings, "claims")
    for row in claims.to_dict("records"):
        say.print(Text(f"\n{row['claim']}", "bold"))
        own = figures[figures["claim"] == row["claim"]].to_dict("records")
        if own:
            say.print(figures_table(own))
        say.print(Text(sentence(row)))


def figures_table(figures: list[dict[str, Any]]) -> Table:
    """Figure, value, interval, control, what was expected, and whether that holds."""
    from crosslens.circuits.figure import number

    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("figure", ratio=1)
    for name in ("value", "95 % interval", "control", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("expected")
    table.add_column("holds")
    for each in figures:
        low, high = number(each["low"]), number(each["high"])
        table.add_row(
            Text(each["name"]),
            number(each["value"]),
            "" if low == "–" else f"{low} to {high}",
            number(each["control"]),
            str(each["n"]),
            Text(each["expected"] if not each["reason"] else f"not measured: {each['reason']}"),
            {True: "yes", False: "no"}.get(each["holds"], ""),
        )
    return table
