"""`crosslens papers` lists what is known; `crosslens reproduce PAPER` measures all of it."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from . import options
from .gate import gate, GOES_ON
from .running import default_model, EMBEDDED, readable_texts, running
from .terminal import quieten, say_where, show_path, terminal


def papers() -> None:
    """List the papers with their figures, and the command that makes each."""
    with gate(debug=False):
        from ..papers.paper import papers as known

        say = terminal()
        for paper in known().values():
            say.print(Text.assemble((paper.name, "bold"), f"  {paper.title}. {paper.citation}"))
            table = Table.grid(padding=(0, 2))
            for figure in paper.figures:
                command = f'crosslens reproduce {paper.name} --only "{figure.number}"'
                table.add_row("", Text(figure.number), figure.question, Text(command, "dim"))
            say.print(table)
            say.print()


def reproduce(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A paper; `crosslens papers` lists them.")
    ],
    model: options.Model = None,
    collection: options.Collections = [EMBEDDED],  # noqa: B006  typer reads the default
    out: options.Out = Path("crosslens-reproduce"),
    only: Annotated[str | None, typer.Option(help='One figure, as in "Fig. 1a".')] = None,
    pairs: Annotated[
        int | None, typer.Option(help="Pairs of every analysis, instead of each one's own number.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="An option of an analysis: ANALYSIS.OPTION=VALUE."),
    ] = None,
    seed: options.Seed = 0,
    device: options.OnDevice = None,
    dtype: options.Precision = "fp32",
    resume: options.Resume = False,
    log: options.Log = "text",
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure every figure of a paper on a model and collections, beside what was published."""
    say = terminal(quiet=quiet)
    with gate(debug, log, GOES_ON):
        quieten()
        from ..papers.page import page
        from ..papers.paper import paper as named
        from ..papers.reproduce import check_settings, reproduce as measure
        from ..versions import versions

        paper = named(name) if only is None else named(name).only(only)
        chosen = settings_of(settings or [])
        check_settings(paper, chosen)
        if pairs is not None and pairs < 1:
            raise ValueError(f"--pairs is {pairs}; an analysis needs at least 1")
        asked = {
            "paper": name,
            "model": options.chosen_model(model, None) or default_model(),
            "collection": collection,
            "pairs": pairs,
            "seed": seed,
            "settings": chosen,
        }
        with running(
            asked,
            out,
            model=str(asked["model"]),
            collections=collection,
            device=device,
            dtype=dtype,
            unsplit="crosslens reproduce",
            resume=resume,
            say=say,
        ) as run:
            assert run.model is not None
            found = measure(
                paper,
                run.model,
                readable_texts(run, say),
                run.findings,
                seed=seed,
                pairs=pairs,
                settings=chosen,
                watch=run.watch,
            )
        names = ", ".join(each.name for each in run.collections)
        if len(run.collections) > 1:
            names += f" (analyses of one collection: {run.collections[0].name})"
        facts = {
            "model": asked["model"],
            "collections": names,
            "seed": seed,
            "command": run.findings.meta["commands"][-1],
            "version": versions()["crosslens"],
        }
        title = name if only is None else f"{name} {paper.figures[0].number}"
        path = run.findings.text(f"{slug(title)}.html", page(paper, found, facts))
        if quiet:
            show_path(path)
            return
        if len(run.collections) > 1:
            say.print(f"\nCollections: {names}", soft_wrap=True)
        for one in found:
            say.print(Text.assemble("\n", (one.figure.number, "bold"), f"  {one.figure.question}"))
            for each in one.agreements:
                say.print(Text(f"  {each.sentence}"), soft_wrap=True)
            if one.why_not:
                say.print(Text(f"  Not measured: {one.why_not}"), soft_wrap=True)
        say_where(say, "\nPage", path)


def slug(title: str) -> str:
    """A title as the name of a file: "jiang2021 Fig. 1a" is "jiang2021-fig-1a"."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def settings_of(given: list[str]) -> dict[str, dict[str, str]]:
    """`ANALYSIS.OPTION=VALUE`, by analysis and option.

    Raises:
        ValueError: one that is not of this form.
    """
    found: dict[str, dict[str, str]] = {}
    for each in given:
        name, is_set, value = each.partition("=")
        analysis, dot, option = name.partition(".")
        if not (is_set and dot and analysis and option):
            raise ValueError(f"--set {each!r}: expected ANALYSIS.OPTION=VALUE")
        found.setdefault(analysis, {})[option] = value
    return found
