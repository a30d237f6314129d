"""The command line: `crosslens report`, `crosslens circuits`.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

import typer

from .circuits import circuits
from .report import report


app = typer.Typer(
    help="Mechanistic interpretability of cross-encoder rerankers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(report)
app.add_typer(circuits, name="circuits")


@app.callback()
def crosslens() -> None:
    """Mechanistic interpretability of cross-encoder rerankers."""


def main() -> None:
    """The entry point of the `crosslens` command."""
    app()
