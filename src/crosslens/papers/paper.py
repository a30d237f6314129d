"""A paper: its figures and tables, the analysis that makes each, and what it published.

A paper is one YAML file in `data/`. Another paper is another file, not another program.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

import yaml


SURE: Final = ("printed", "digitised", "recalled", "derived")


@dataclass(frozen=True)
class Quantity:
    """A number of a table: its column in the row, or the mean of the rows, that `where` names.

    Values of `where` are those of the table; of layers "first", "last", "middle" and "two thirds"
    are known too. `low` and `high` name the columns of its interval.
    """

    column: str
    where: Mapping[str, Any] = field(default_factory=dict)
    table: str = ""  # by default the figure's
    low: str = ""
    high: str = ""


@dataclass(frozen=True)
class Finding:
    """What a figure shows, as a comparison that may hold for another model or not.

    `measured` is above (or, with `is_below`, below) `other`: a number or another quantity.
    """

    says: str  # a sentence, as the paper found it
    measured: Quantity
    other: Quantity | float
    is_below: bool
    published: str  # the paper's own numbers, in words; empty where it prints none
    sure: str  # how sure we are of them: one of SURE


@dataclass(frozen=True)
class Chart:
    """How a figure is drawn: kind, and which columns of its table stand where."""

    kind: str  # lines, points, bars, heatmap, highlights, table
    x: str = ""
    y: str = ""
    by: str = ""  # one line, or group of bars, for each value
    low: str = ""
    high: str = ""
    x_title: str = ""
    y_title: str = ""
    log_x: bool = False  # of lines
    where: Mapping[str, Any] = field(default_factory=dict)  # the rows that are drawn
    columns: Sequence[str] = ()  # of a table; by default all


@dataclass(frozen=True)
class PublishedCurve:
    """A curve of the paper's figure: its values over the figure's x."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    sure: str
    error: float | None = None  # of digitised values, in units of y


@dataclass(frozen=True)
class PublishedValue:
    """A number that the paper prints, for the row that `where` names of the figure's table."""

    column: str
    where: Mapping[str, Any]
    value: float


@dataclass(frozen=True)
class PaperFigure:
    """A figure or table of a paper."""

    number: str
    question: str
    analysis: str
    options: Mapping[str, Any]  # of the analysis, and pairs and seed where they differ
    table: str
    chart: Chart
    findings: Sequence[Finding]
    curves: Sequence[PublishedCurve]
    published: Sequence[PublishedValue]
    numbers: str  # the table that is shown in numbers; by default the one that is drawn
    note: str = ""
    needs: str = ""  # an option of the analysis without which it has no answer


@dataclass(frozen=True)
class Paper:
    """A paper and all of its figures and tables."""

    name: str
    title: str
    citation: str
    about: str  # a paragraph: what it asked, of which model and texts
    figures: Sequence[PaperFigure]
    seconds: Mapping[str, Mapping[str, float]]  # how the work divides, by analysis and step

    def only(self, number: str) -> "Paper":
        """The paper with one figure alone.

        Raises:
            LookupError: it has none of that number; says which there are.
        """
        wanted = _bare(number)
        chosen = [each for each in self.figures if wanted in map(_bare, _numbers(each.number))]
        if not chosen:
            known = ", ".join(each.number for each in self.figures)
            raise LookupError(f"{self.name} has no figure {number!r}; there are {known}")
        return replace(self, figures=chosen)


@cache
def papers() -> Mapping[str, Paper]:
    """Every paper, by name."""
    folder = files("crosslens") / "papers" / "data"
    found = {
        each.name.removesuffix(".yaml"): each
        for each in folder.iterdir()
        if each.name.endswith(".yaml")
    }
    return MappingProxyType(
        {
            name: paper_of(name, yaml.safe_load(found[name].read_text(encoding="utf-8")))
            for name in sorted(found)
        }
    )


def paper(name: str) -> Paper:
    """The paper called `name`.

    Raises:
        LookupError: there is none; says which there are.
    """
    if name not in papers():
        raise LookupError(f"no paper is called {name!r}; there are {', '.join(papers())}")
    return papers()[name]


def paper_of(name: str, data: Mapping[str, Any]) -> Paper:
    """A paper from what its file holds.

    Raises:
        ValueError: a key that no figure has, or one that is missing; names figure and key.
    """
    try:
        figures = [_figure(each) for each in data["figures"]]
        about = data["about"].strip()
        seconds = {
            analysis: {step: float(each) for step, each in steps.items()}
            for analysis, steps in data.get("seconds", {}).items()
        }
        return Paper(name, data["title"], data["citation"], about, figures, seconds)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{name}.yaml: {error}") from error


def _figure(data: Mapping[str, Any]) -> PaperFigure:
    number = data.get("number", "a figure without a number")
    try:
        return PaperFigure(
            number=data["number"],
            question=data["question"],
            analysis=data["analysis"],
            options=data.get("options", {}),
            table=data["table"],
            chart=Chart(**data["chart"]),
            findings=[_finding(each) for each in data.get("findings", ())],
            curves=[PublishedCurve(**each) for each in data.get("curves", ())],
            published=[PublishedValue(**each) for each in data.get("published", ())],
            numbers=data.get("numbers", data["table"]),
            note=data.get("note", ""),
            needs=data.get("needs", ""),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{number}: {type(error).__name__}: {error}") from error


def _finding(data: Mapping[str, Any]) -> Finding:
    is_below = "below" in data
    other = data["below" if is_below else "above"]
    sure = data.get("sure", "printed")
    if sure not in SURE:
        raise ValueError(f"sure: {sure!r} is none of {', '.join(SURE)}")
    return Finding(
        says=data["says"],
        measured=Quantity(**data["measured"]),
        other=Quantity(**other) if isinstance(other, Mapping) else float(other),
        is_below=is_below,
        published=str(data.get("published", "")),
        sure=sure,
    )


def _numbers(number: str) -> list[str]:
    """ "Fig. 4, 7" as ["Fig. 4", "Fig. 7"]."""
    first, *others = (each.strip() for each in number.split(","))
    kind = first.split(" ")[0]
    return [first, *(each if " " in each else f"{kind} {each}" for each in others), number]


def _bare(number: str) -> str:
    return "".join(number.lower().replace("figure", "fig").split()).replace(".", "")
