"""The command line: one file for each command.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

import sys
from io import TextIOWrapper

import typer

from .analyses import analyse, analyses
from .circuits import circuits
from .explain import explain
from .explore import explore
from .merge import merge
from .papers import papers, reproduce
from .report import report
from .rerank import rerank


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(report)
app.command()(explain)
app.command()(explore)
app.command()(rerank)
app.command()(merge)
app.add_typer(circuits, name="circuits")
app.command()(analyses)
app.add_typer(analyse, name="analyse")
app.command()(papers)
app.command()(reproduce)


@app.callback()
def crosslens() -> None:
    """Mechanistic interpretability of cross-encoder rerankers.

    Exit codes: 0 done; 2 something that you can set right, named in one line, such as a full disk;
    3 a fault of CrossLens, to be reported; 130 interrupted; 143 terminated.
    """


def main() -> None:
    """The entry point of the `crosslens` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name may hold what the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    app()
