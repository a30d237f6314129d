"""The command line asked in this process: all its commands are built once, not at each call."""

from functools import cache
from typing import Any

import typer.testing

from crosslens import load
from crosslens.cli import app


# the name by which the runner looks up what builds them, a twentieth of a second each time
typer.testing._get_command = cache(typer.main.get_command)  # pyright: ignore[reportPrivateImportUsage]


LOADED = cache(load)  # what commands load where a test puts it in the place of `load`


def crosslens(*words: Any) -> typer.testing.Result:
    """What the command `crosslens WORDS` ends with and prints."""
    return typer.testing.CliRunner().invoke(app, [*map(str, words)])
