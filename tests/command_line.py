"""The command line asked in this process: all its commands are built once, not at each call."""

from functools import cache
from typing import Any

import typer.testing

from crosslens import load
from crosslens.cli import app


built = cache(typer.main.get_command)  # takes a twentieth of a second
typer.testing._get_command = built  # pyright: ignore[reportPrivateImportUsage]

LOADED = cache(load)  # what commands load where a test puts it in the place of `load`


def crosslens(*words: Any, env: dict[str, str] | None = None) -> typer.testing.Result:
    """What the command `crosslens WORDS` ends with and prints."""
    return typer.testing.CliRunner().invoke(app, [*map(str, words)], env=env)
