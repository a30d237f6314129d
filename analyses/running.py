"""What every analysis is given, and how its answer is kept."""

import runpy
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from importlib import import_module
from typing import Any

from crosslens import Collection, CrossEncoder, Findings
from crosslens.frames import Frame, pd


# computes a part of a table, or reads it where an interrupted run has it: table, key, compute
Keep = Callable[[str, str, Callable[[], Frame]], Frame]
Watch = Callable[[str, int, int], None]  # the step, how much of it is done, how much there is


@dataclass(frozen=True)
class Given:
    """A model, texts and options; and the run into which parts are kept as they are finished."""

    given_model: CrossEncoder | None  # none where the analysis makes its own models
    collections: tuple[Collection, ...]
    pairs: int
    seed: int
    options: Any  # the analysis's own `Options`
    run: Findings
    watch: Watch
    paper: Findings | None = None  # the run of all figures of a paper, if this is one of them

    @property
    def model(self) -> CrossEncoder:
        """The model, of analyses that take one."""
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

    @property
    def keep_for_all(self) -> Keep:
        """As `keep`, of parts that other figures of the same paper read too.

        Their key names all that the part depends on, beyond model, collections and seed.
        """
        return (self.paper or self.run).chunk

    def gathered(
        self, step: str, tables: Sequence[str], parts: Sequence[Callable[[], Mapping[str, Frame]]]
    ) -> dict[str, Frame]:
        """The tables of all parts, one part below another; finished parts are not computed.

        Args:
            step: what the progress is called.
            tables: the tables that each part has rows of.
            parts: what computes them, by table.
        """
        keyed = {str(i): compute for i, compute in enumerate(parts)}
        found = [*self.run.parts(tables, keyed, partial(self.watch, step))]
        return {table: below(each[table] for each in found) for table in tables}

    def table(
        self, step: str, table: str, compute: Callable[[Any], Frame], parts: Iterable[Any]
    ) -> Frame:
        """One table, computed of each part; as `gathered`."""
        computes = [lambda part=part: {table: compute(part)} for part in parts]
        return self.gathered(step, [table], computes)[table]

    def parts(
        self,
        step: str,
        table: str,
        parts: Mapping[str, Callable[[], Frame]],
        *,
        for_all: bool = False,
    ) -> dict[str, Frame]:
        """The parts of one table, by key and in order; finished ones are not computed.

        Other figures of the same paper read them too, if they are `for_all`: their keys name all
        that they depend on, beyond model, collections and seed.
        """
        run = (self.paper or self.run) if for_all else self.run
        keyed = {key: lambda compute=compute: {table: compute()} for key, compute in parts.items()}
        found = run.parts([table], keyed, partial(self.watch, step))
        return {key: each[table] for key, each in zip(keyed, found, strict=True)}


def below(parts: Iterable[Frame]) -> Frame:
    """One table below another; an empty one has no say in the types of columns."""
    every = list(parts)
    return pd.concat([each for each in every if len(each)] or every[:1], ignore_index=True)


def answer_into(name: str, given: Given) -> Frame:
    """The tables, and pages if any, of the analysis called `name` into its run; its last table."""
    module = import_module(f"{__package__}.{name}")
    if hasattr(module, "Options"):  # the catalogue reads them without importing the analysis
        given = replace(given, options=module.Options(**given.options._asdict()))
    answer = module.analyse(given)
    given.run.conclude()
    tables = {each.name: getattr(answer, each.name) for each in fields(answer)}
    for title, table in tables.items():
        given.run.table(title, table, also_json=True)
    if hasattr(module, "draw"):
        for page, text in module.draw(answer).items():
            given.run.text(page, text)
    return list(tables.values())[-1]


def main(name: str) -> None:
    """`python -m crosslens.analyses.NAME` is the command `crosslens analyse NAME`."""
    sys.argv[1:1] = ["analyse", name.rpartition(".")[2]]
    runpy.run_module("crosslens", run_name="__main__")
