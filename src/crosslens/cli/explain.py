"""`crosslens explain`: why one passage stands above another, and what would change it."""

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .gate import gate
from .running import check_device, default_model
from .terminal import quieten, say_where, show_path, terminal, watching


def explain(
    query: Annotated[str, typer.Argument(metavar="QUERY", show_default=False)],
    passages: Annotated[list[str], typer.Argument(metavar="PASSAGE [OTHER …]", show_default=False)],
    model: options.ModelOption = None,
    html: Annotated[
        Path | None, typer.Option(help="Write one HTML page here.", show_default=False)
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="Write everything as JSON here.", show_default=False)
    ] = None,
    details: Annotated[
        int, typer.Option(help="How many of the first passages are taken apart.")
    ] = 2,
    budget: Annotated[
        int, typer.Option(help="Texts that are scored to turn the order, at most, twice.")
    ] = 150,
    device: options.OnDevice = None,
    dtype: options.WithoutRun = "fp32",
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the paths only.")] = False,
    debug: options.Debug = False,
) -> None:
    """Say why a reranker scores passages as it does, word by word, and what turns their order."""
    say = terminal(quiet=quiet)
    with gate(debug):
        quieten()
        from ..explanation.explain import explain as explained
        from ..explanation.terminal import printed
        from ..model.load import load

        check_device(device)
        for path in (html, json):
            if path is not None and path.is_dir():
                raise ValueError(f"{path} is a folder; give the name of a file in it")
        loaded = load(model or default_model(), device=device, dtype=dtype)
        with watching(say) as watch:
            found = explained(
                loaded, query, *passages, details=details, budget=budget, progress=watch
            )
        say.print(printed(found))
        for path, write in ((html, found.html), (json, found.json)):
            if path is not None:
                write(path)
                if quiet:
                    show_path(path)
                else:
                    say_where(say, "Written", path)
