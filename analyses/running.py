"""What every analysis is given, and how its answer is kept."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

import pandas as pd

from crosslens import Collection, CrossEncoder, Findings


# computes a part of a table, or reads it where an interrupted run has it: table, key, compute
Keep = Callable[[str, str, Callable[[], pd.DataFrame]], pd.DataFrame]
Watch = Callable[[str, int, int], None]  # the step, how much of it is done, how much there is


@dataclass(frozen=True)
class Given:
    """A model, texts and options; and the run into which parts are kept as they are finished."""

    given_model: CrossEncoder | None
    collections: tuple[Collection, ...]
    pairs: int
    seed: int
    options: Any  # the analysis's own `Options`
    run: Findings
    watch: Watch

    @property
    def model(self) -> CrossEncoder:
        """The model, of analyses that are given one."""
        assert self.given_model is not None
        return self.given_model

    @property
    def texts(self) -> Collection:
        """The collection, of analyses that take one."""
        (only,) = self.collections
        return only

    @property
    def keep(self) -> Keep:
        """Parts of tables are read where an interrupted run has them."""
        return self.run.chunk


def answer_into(name: str, given: Given) -> pd.DataFrame:
    """The tables, and pages if any, of the analysis called `name` into its run; its last table."""
    module = import_module(f"{__package__}.{name}")
    answer = module.analyse(given)
    tables = {each.name: getattr(answer, each.name) for each in fields(answer)}
    for title, table in tables.items():
        given.run.table(title, table, also_json=True)
    if hasattr(module, "draw"):
        for page, text in module.draw(answer).items():
            given.run.text(page, text)
    return list(tables.values())[-1]
