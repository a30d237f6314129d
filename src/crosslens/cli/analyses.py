"""`crosslens analyses` lists the questions; `crosslens analyse NAME` asks one of them.

The commands are made of what each analysis declares; see `crosslens.analyses.catalogue`.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer
from rich.table import Table
from rich.text import Text

from crosslens.analyses.catalogue import Analysis, catalogue

from . import options
from .gate import gate, GOES_ON
from .running import default_model, EMBEDDED, readable_texts, running
from .terminal import quieten, say_where, show_path, terminal


analyse = typer.Typer(
    help="Ask one question of a model; `crosslens analyses` lists them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
Pairs = Annotated[int, typer.Option(help="Query-document pairs, at most.")]


def analyses() -> None:
    """List the analyses with the questions they ask."""
    table = Table.grid(padding=(0, 2))
    for each in catalogue().values():
        table.add_row(Text(each.name, "bold"), each.question)
    say = terminal()
    say.print(table)
    say.print("\nAsk one: crosslens analyse NAME MODEL --out FOLDER")


def command(analysis: Analysis) -> Callable[..., None]:
    """The command of an analysis: the options that all share, and its own."""

    def run(**given: Any) -> None:
        put(analysis, given)

    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in parameters_of(analysis).items()
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def parameters_of(analysis: Analysis) -> dict[str, tuple[Any, Any]]:
    """Name to type and default; an analysis may change the defaults of shared options."""
    own, defaults = get_type_hints(analysis.options, include_extras=True), analysis.defaults
    several = isinstance(defaults.get("collection"), list)
    shared: dict[str, tuple[Any, Any]] = {
        "model": (options.Model, None),
        "collection": (options.Collections, [EMBEDDED])
        if several
        else (options.FromCollection, EMBEDDED),
        "out": (options.Out, Path(f"crosslens-{analysis.name}")),
        "pairs": (Pairs, 24),
        "seed": (options.Seed, 0),
    }
    last: dict[str, tuple[Any, Any]] = {
        "device": (options.OnDevice, None),
        "dtype": (options.Precision, "fp32"),
        "shard": (options.InShards, None),
        "resume": (options.Resume, False),
        "log": (options.Log, "text"),
        "quiet": (options.Quiet, False),
        "debug": (options.Debug, False),
        "also_model": (options.ModelToo, None),
    }
    if not analysis.takes_model:
        del shared["model"], last["also_model"], last["device"], last["dtype"]
    shared |= {name: (shared[name][0], defaults[name]) for name in ("pairs", "seed") & own.keys()}
    mine = {
        name: (declared(name, kind), defaults[name])
        for name, kind in own.items()
        if name not in ("model", "collection", "pairs", "seed")
    }
    return {**shared, **mine, **last}


def declared(name: str, kind: Any) -> Any:
    """The type of an option with its help, as typer reads it; a flag has no `--no-` twin."""
    (text,) = kind.__metadata__
    flag = f"--{name.replace('_', '-')}"
    is_flag = kind.__origin__ is bool
    return Annotated[kind.__origin__, typer.Option(*([flag] if is_flag else []), help=text)]


def put(analysis: Analysis, given: dict[str, Any]) -> None:
    """The question put to its model: a run with the tables of the answer."""
    say = terminal(quiet=given["quiet"])
    with gate(given["debug"], given["log"], GOES_ON):
        quieten()
        from crosslens.analyses.running import answer_into, Given

        from ..provenance import of_file

        names = given["collection"]
        collections = names if isinstance(names, list) else [names]
        own = {
            name: given[name]
            for name in analysis.defaults
            if name not in ("model", "collection", "pairs", "seed")
        }
        model = None
        if analysis.takes_model:
            model = options.chosen_model(given["model"], given["also_model"]) or default_model()
        if given["pairs"] < 1:
            raise ValueError(f"--pairs is {given['pairs']}; an analysis needs at least 1")
        asked = {
            "analysis": analysis.name,
            **({} if model is None else {"model": model}),
            "collection": names,
            "pairs": given["pairs"],
            "seed": given["seed"],
            **{key: str(value) if isinstance(value, Path) else value for key, value in own.items()},
        }
        files = {
            f"{key} file": of_file(value) for key, value in own.items() if isinstance(value, Path)
        }
        with running(
            asked,
            given["out"],
            model=model,
            collections=collections,
            device=given.get("device"),
            dtype=given.get("dtype", "fp32"),
            shard=given["shard"],
            unsplit="" if analysis.is_split else f"crosslens analyse {analysis.name}",
            resume=given["resume"],
            say=say,
            also=files,
        ) as run:
            answer = answer_into(
                analysis.name,
                Given(
                    run.model,
                    readable_texts(run, say),
                    given["pairs"],
                    given["seed"],
                    analysis.options(**own),
                    run.findings,
                    run.watch,
                ),
            )
        if given["quiet"]:
            show_path(run.findings.folder)
            return
        say.print(f"\n{answer.round(4).to_string(index=False)}", soft_wrap=True)
        say_where(say, "\nAll tables", run.findings.folder)


for each in catalogue().values():
    analyse.command(each.name, help=f"{each.question}\n\n{each.text}")(command(each))
