"""`crosslens explore`: a page on which texts and heads are edited and scores change."""

import webbrowser
from typing import Annotated

import typer

from .gate import gate
from .options import Debug, Model, OnDevice, WithoutRun
from .running import check_device, default_model
from .terminal import quieten, say_where, terminal


def explore(
    model: Model = None,
    port: Annotated[int, typer.Option(help="Of the loopback address; 0 is any free one.")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser, or not.")
    ] = True,
    device: OnDevice = None,
    dtype: WithoutRun = "fp32",
    debug: Debug = False,
) -> None:
    """Open a page on which scores, ranking and attention follow what you type and toggle."""
    say = terminal()
    with gate(debug):
        quieten()
        if not 0 <= port < 65_536:
            raise ValueError(f"--port is {port}, expected 0 to 65535")
        from ..exploration.server import serve
        from ..model.load import load

        check_device(device)
        loaded = load(model or default_model(), device=device, dtype=dtype)

        def ready(address: str) -> None:
            say_where(say, "Open", address)
            say.print("Ctrl-C ends it.")
            if browser:
                webbrowser.open(address)

        serve(loaded, port, ready=ready)
