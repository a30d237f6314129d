"""Every figure of a paper, measured on a model and collections of one's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, UTC
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints, Literal, Union

import pandas as pd

from crosslens.analyses.catalogue import Analysis, catalogue
from crosslens.analyses.running import answer_into, Given

from ..corpora.collection import Collection
from ..findings import Findings
from ..model.encoder import CrossEncoder
from ..not_measurable import NotMeasurable
from .agreement import Agreement, judged
from .paper import Paper, PaperFigure
from .progress import Progress, Watch


PAIRS: Final = 24  # of analyses that name no number of their own
SHARED: Final = {"model", "collection", "seed"}  # options of the whole reproduction
BOOLEANS: Final = {"true": True, "false": False}


@dataclass(frozen=True)
class Reproduced:
    """A figure, what was measured for it, and whether the paper's findings hold."""

    figure: PaperFigure
    folder: str  # of the analysis, within the run
    tables: Mapping[str, pd.DataFrame]  # none where it could not be measured
    why_not: str
    agreements: Sequence[Agreement]

    @property
    def table(self) -> pd.DataFrame | None:
        """The table that the figure draws."""
        return self.tables.get(self.figure.table)


def reproduce(
    paper: Paper,
    model: CrossEncoder,
    collections: Sequence[Collection],
    run: Findings,
    *,
    seed: int = 0,
    pairs: int | None = None,
    settings: Mapping[str, Mapping[str, str]] | None = None,
    watch: Watch = lambda step, done, of: None,
) -> list[Reproduced]:
    """The figures of `paper`, each analysis run once into a folder of its own within `run`.

    What is finished there is read, so that an interrupted reproduction goes on. An analysis of one
    collection takes the first.

    Args:
        pairs: instead of each analysis's own number, where `settings` have none.
        settings: options of analyses, as text, by analysis and option.

    Raises:
        LookupError: a setting of an analysis or option that there is not.
        ValueError: a setting whose value is not of the option's type.
    """
    given = settings or {}
    check_settings(paper, given)
    asked: dict[str, list[PaperFigure]] = {}
    for figure in paper.figures:
        asked.setdefault(_folder(figure, paper), []).append(figure)
    found: list[Reproduced] = []
    progress = Progress(paper.name, watch, _work(asked, paper, run, pairs))
    for folder, figures in asked.items():
        own = progress.of(folder)
        answer = _answer(figures[0], folder, model, collections, run, seed, pairs, given, own)
        progress.finish(folder)
        for figure in figures:
            if isinstance(answer, str):
                found.append(Reproduced(figure, folder, {}, answer, ()))
                continue
            agreements = [judged(each, figure.table, answer) for each in figure.findings]
            found.append(Reproduced(figure, folder, answer, "", agreements))
    order = {figure.number: place for place, figure in enumerate(paper.figures)}
    return sorted(found, key=lambda each: order[each.figure.number])


def _work(
    asked: Mapping[str, Sequence[PaperFigure]], paper: Paper, run: Findings, pairs: int | None
) -> dict[str, Mapping[str, float]]:
    """The seconds of every analysis that an earlier run has not finished, step by step."""
    found: dict[str, Mapping[str, float]] = {}
    for folder, figures in asked.items():
        place = run.folder / folder
        if (place / "config.yaml").is_file() and "finished" in Findings.open(place).meta:
            continue
        usual = catalogue()[figures[0].analysis].defaults.get("pairs", PAIRS)
        scale = 1 if pairs is None else pairs / usual
        steps = paper.seconds.get(figures[0].analysis, {})
        found[folder] = {step: scale * seconds for step, seconds in steps.items()}
    return found


def check_settings(paper: Paper, settings: Mapping[str, Mapping[str, str]]) -> None:
    """Refuses options that no analysis of the paper has, and values that an option cannot have.

    Raises:
        LookupError: names the analysis and what there is.
        ValueError: names the setting and what was expected.
    """
    used = sorted({figure.analysis for figure in paper.figures})
    for name, options in settings.items():
        if name not in used:
            raise LookupError(f"{paper.name} has no analysis {name!r}; there are {', '.join(used)}")
        known = [each for each in catalogue()[name].defaults if each not in SHARED]
        for option in options:
            if option not in known:
                raise LookupError(f"{name} has no option {option!r}; there are {', '.join(known)}")
        if _typed(catalogue()[name], options).get("pairs", 1) < 1:
            raise ValueError(f"--set {name}.pairs={options['pairs']}: expected 1 or more")


def _folder(figure: PaperFigure, paper: Paper) -> str:
    """The analysis's name; with a number where the paper asks it in more than one way."""
    ways: list[Mapping[str, Any]] = []
    for each in paper.figures:
        if each.analysis == figure.analysis and each.options not in ways:
            ways.append(each.options)
    place = ways.index(figure.options)
    return figure.analysis if place == 0 else f"{figure.analysis}-{place + 1}"


def _answer(
    figure: PaperFigure,
    folder: str,
    model: CrossEncoder,
    collections: Sequence[Collection],
    run: Findings,
    seed: int,
    pairs: int | None,
    settings: Mapping[str, Mapping[str, str]],
    watch: Watch,
) -> dict[str, pd.DataFrame] | str:
    """The tables of an analysis, or why it has none."""
    analysis = catalogue()[figure.analysis]
    own = settings.get(figure.analysis, {})
    if figure.needs and figure.needs not in own:
        return f"it needs --set {figure.analysis}.{figure.needs}=VALUE"
    chosen = _typed(analysis, own)
    options = {**figure.options, **chosen}
    several = isinstance(analysis.defaults.get("collection"), list)
    texts = tuple(collections) if several else tuple(collections[:1])
    usual = options.pop("pairs", analysis.defaults.get("pairs", PAIRS))
    n = chosen.get("pairs") or pairs or usual
    asked = {
        "analysis": analysis.name,
        "collection": [each.name for each in texts],
        "pairs": n,
        "seed": seed,
        **{key: str(value) if isinstance(value, Path) else value for key, value in options.items()},
    }
    part = Findings.create(run.folder / folder, asked, resume=True)
    known = part.meta.get("tables", ())
    is_there = all((part.folder / f"{name}.parquet").is_file() for name in known)
    if "finished" in part.meta and is_there:
        return {name: part.read(name) for name in known}
    given = Given(model, texts, n, seed, analysis.options(**options), part, watch, run)
    try:
        answer_into(analysis.name, given)
    except NotMeasurable as error:
        return str(error)
    names = sorted(path.stem for path in part.folder.glob("*.parquet"))
    part.note(finished=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), tables=names)
    return {name: part.read(name) for name in names}


def _typed(analysis: Analysis, own: Mapping[str, str]) -> dict[str, Any]:
    """Settings, read as what the analysis's options are.

    Raises:
        ValueError: a value that the option cannot have.
    """
    kinds = get_type_hints(analysis.options)
    found: dict[str, Any] = {}
    for name, text in own.items():
        try:
            found[name] = _value(kinds[name], text)
        except ValueError as error:
            raise ValueError(f"--set {analysis.name}.{name}={text}: expected {error}") from None
    return found


def _value(kind: Any, text: str) -> Any:
    """A text as a value of the type `kind`; ValueError says what was expected."""
    if get_origin(kind) in (Union, UnionType):  # with None, which no text means
        (kind,) = (each for each in get_args(kind) if each is not NoneType)
    if get_origin(kind) is list:
        (item,) = get_args(kind)
        return [_value(item, each.strip()) for each in text.split(",")]
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise ValueError(" or ".join(get_args(kind)))
        return text
    if kind is bool:
        if text not in BOOLEANS:
            raise ValueError(" or ".join(BOOLEANS))
        return BOOLEANS[text]
    try:
        return kind(text)  # a number, a path, or the text
    except ValueError:
        raise ValueError(kind.__name__) from None
