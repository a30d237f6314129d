"""Analyses asked without a command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from crosslens.analyses.running import Given

from crosslens import Collection, CrossEncoder, Findings


Asked = Callable[..., Any]


def asker(model: CrossEncoder, texts: Collection, folder: Path, **defaults: Any) -> Asked:
    """Puts the question of a module to the model, each time in a new run below the folder.

    Options are those of the module, and `pairs`; those not given are the `defaults`.
    """

    def ask(module: Any, asked_of: Collection = texts, **options: Any) -> Any:
        options = {**defaults, **options}
        pairs = options.pop("pairs")
        where = folder / f"{len([*folder.iterdir()])}"
        run = Findings.create(where, {"analysis": module.__name__})
        own = module.Options(**options)
        return module.analyse(Given(model, (asked_of,), pairs, 0, own, run, lambda *_: None))

    return ask
