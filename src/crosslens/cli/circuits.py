"""`crosslens circuits`: the catalogue of claims, and the test that any model can be put to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from .options import Debug, FromCollection, MODEL_HELP, OnDevice, Resume, Tokens
from .running import default_model, EMBEDDED, failing, keeping, quieten, watching


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
WORDS = {True: "holds", False: "does not hold"}


@circuits.callback(invoke_without_command=True)
def listed(context: Context) -> None:
    """Without a command: the catalogue of claims."""
    if context.invoked_subcommand is not None:
        return
    from crosslens.circuits.catalogue import CLAIMS

    say = Console(highlight=False)
    for claim in CLAIMS.values():
        say.print(f"[bold]{claim.name}[/bold]")
        table = Table.grid(padding=(0, 2))
        for label, text in described(claim):
            table.add_row("", f"[dim]{label}[/dim]", text)
        say.print(table)
        say.print()
    say.print("Test one, or all: crosslens circuits test NAME --model M --out FOLDER")


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
    name: Annotated[str, typer.Argument(help="A claim of the catalogue, or all.")],
    model: Annotated[
        str | None,
        typer.Option(
            help=MODEL_HELP,
            show_default=False,
        ),
    ] = None,
    collection: FromCollection = EMBEDDED,
    out: Annotated[Path, typer.Option(help="The folder of the run.")] = Path("crosslens-circuits"),
    pairs: Annotated[int, typer.Option(help="Pairs of each contrast, at most.")] = 24,
    seed: Annotated[int, typer.Option(help="Draws pairs, controls and bootstrap samples.")] = 0,
    tokens: Tokens = 96,
    device: OnDevice = None,
    resume: Resume = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the run's folder only.")] = False,
    debug: Debug = False,
) -> None:
    """Confirm or refute a claim for a model, with figures and their controls."""
    say = Console(quiet=quiet, highlight=False)
    with failing(debug):
        quieten()
        from crosslens.circuits.catalogue import named

        claims = named(name)
        if pairs < FEWEST or tokens < 16:
            raise ValueError(
                f"--pairs is {pairs} and --tokens {tokens}; a test needs at least {FEWEST} and 16"
            )
        asked = {
            "claim": name,
            "model": model or default_model(),
            "collection": collection,
            "pairs": pairs,
            "seed": seed,
            "tokens": tokens,
        }
        findings = run(claims, asked, out, device=device, resume=resume, say=say)
    if quiet:
        print(findings.folder)
        return
    told(findings, say)
    say.print(f"\nTables and circuit: [bold]{findings.folder}[/bold]", soft_wrap=True)


FEWEST = 5  # pairs; with fewer no claim is decided


def run(
    claims: "Sequence[Claim[Any]]",
    asked: dict[str, Any],
    out: Path,
    *,
    device: str | None,
    resume: bool,
    say: Console,
) -> "Findings":
    """The claims put to the test, into a run folder."""
    from crosslens.circuits.examine import examine

    from ..corpora.reading import collection
    from ..findings import Findings
    from ..model.load import load
    from ..provenance import provenance
    from ..report.circuit import gathered

    say.print(f"Loading [bold]{asked['model']}[/bold] and collection {asked['collection']}")
    texts = collection(asked["collection"])
    model = load(asked["model"], device=device)
    findings = Findings.create(out, asked, provenance=provenance(texts, model=model), resume=resume)
    with keeping(findings), watching(say) as watch:
        evidence = gathered(model, texts, asked["tokens"], asked["pairs"], asked["seed"], watch)
        examine(claims, evidence, findings)
    return findings


def told(findings: "Findings", say: Console) -> None:
    """The figures of every claim as a table, and the verdict in a sentence."""
    from ..report.frames import read

    figures, claims = read(findings, "figures"), read(findings, "claims")
    for row in claims.to_dict("records"):
        say.print(f"\n[bold]{row['claim']}[/bold]")
        own = figures[figures["claim"] == row["claim"]].to_dict("records")
        if own:
            say.print(figures_table(own))
        say.print(sentence(row))


def sentence(row: dict[str, Any]) -> str:
    """One sentence: whether the claim holds, and what decided."""
    word = WORDS.get(row["holds"], "is undecided")
    return f"{row['claim']} {word} in {row['checkpoint']}: {row['says']}."


def figures_table(figures: list[dict[str, Any]]) -> Table:
    """Figure, value, interval, control, what was expected, and whether that holds."""
    from crosslens.circuits.claim import number

    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("figure", ratio=1)
    for name in ("value", "95 % interval", "control", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("expected")
    table.add_column("holds")
    for each in figures:
        low, high = number(each["low"]), number(each["high"])
        table.add_row(
            each["name"],
            number(each["value"]),
            "" if low == "–" else f"{low} to {high}",
            number(each["control"]),
            str(each["n"]),
            each["expected"],
            {True: "yes", False: "no"}.get(each["holds"], ""),
        )
    return table
