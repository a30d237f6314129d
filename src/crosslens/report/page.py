"""One HTML file of a run: everything inside, nothing fetched, opens offline.

Made from the tables of the run alone, so that it can be made again, and of a run that was
interrupted as well.
"""

from importlib.resources import files
from typing import Final

from jinja2 import Environment
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from ..contrasts.roles import OF_TEXTS, ROLES
from ..findings import Findings
from ..model.load import EMBEDDED
from . import claims, figures
from .frames import Frame, read
from .methods import null, scoring
from .numbered import Figure, Figures
from .overview import compared, keys, measured, ranked, typed, types_note, warnings
from .question import CONTROL, SIGNALS
from .sections import ABOVE_ONE, level_figures, sections
from .summary import RULES
from .texts import marked as marked, underlined as underlined


SCRIPTS: Final = ("draw.js", "save.js", "outline.js", "sort.js")
HOLDS: Final = {
    "ranking": "both scores of every query and document, with label, type, length in tokens",
    "queries": "every measure for every query, model and BM25",
    "comparison": "means of the measures and their paired difference",
    "types": "scores, ranks and orders by type of document",
    "pairs": "the texts of every contrast, their scores and the change",
    "reactions": "the mean change of score by signal, beside the control",
    "levels": "the mean change of score at each level of TFC2 and LNC2",
    "effects": "what patching each unit restores, pair by pair",
    "units": "mean, interval, pairs, p and q of every unit",
    "null": "what patching a pair from itself changes",
    "statements": "the sentences of this page",
    **claims.TABLES,
}


def page(findings: Findings) -> str:
    """The report of a run, as HTML."""
    here = files("crosslens") / "report"
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        (here / "template.html").read_text(encoding="utf-8")
    )
    figure = Figures()
    there = set(findings.tables())

    def optional(name: str) -> Frame | None:
        return read(findings, name) if name in there else None

    meta = findings.meta
    reactions, units = optional("reactions"), optional("units")
    comparison, types = optional("comparison"), optional("types")
    return template.render(
        style=Markup((here / "style.css").read_text(encoding="utf-8")),
        scripts=[Markup((here / name).read_text(encoding="utf-8")) for name in SCRIPTS],
        plotly=Markup(get_plotlyjs()),
        folder=findings.folder.name,
        config=findings.config,
        model=meta["model"],
        name=called(meta["model"]["checkpoint"]),
        collection=meta["collection_facts"],
        versions=meta["versions"],
        weights=meta["weights"],
        digest=meta["collection_facts"]["digest"],
        finished=meta.get("finished", ""),
        seconds=lasting(meta["seconds"]) if "seconds" in meta else "",
        keys=keys(meta, comparison, reactions, units),
        warnings=warnings(meta),
        ranked=ranked(meta),
        comparison=None if comparison is None else compared(comparison),
        measure_note="" if comparison is None else measured(comparison),
        types=None if types is None else typed(types),
        types_note="" if types is None else types_note(types),
        reference="" if types is None else types["reference"].iloc[0],
        types_figure=None if types is None else types_figure(types, figure),
        reactions_figure=None if reactions is None else reactions_figure(reactions, figure),
        level_figures=level_figures(optional("levels"), figure),
        circuit=claims.section(findings, figure),
        sections=sections(findings, reactions, units, figure),
        roles=[(role, ROLES[role]) for role in OF_TEXTS],
        rules=RULES,
        above_one=ABOVE_ONE,
        null=null(findings),
        scoring=scoring(meta),
        tables=[
            {"file": f"{name}.parquet", "rows": len(read(findings, name)), "holds": holds}
            for name, holds in HOLDS.items()
            if name in there
        ],
    )


def types_figure(types: Frame, figure: Figures) -> Figure:
    """Where each type of document is ranked, by the model and by BM25."""
    return figure(
        figures.by_type(types),
        Markup(
            "<b>Mean rank by type</b>, the best grade first. A reranker worth its name pulls "
            "answers to the left and keyword stuffing to the right."
        ),
        "Mean rank by type, model and BM25: "
        + ", ".join(
            f"{row.type} {row.model_rank:.1f} and {row.bm25_rank:.1f}" for row in types.itertuples()
        ),
    )


def reactions_figure(reactions: Frame, figure: Figures) -> Figure:
    """How far each signal moves the score."""
    return figure(
        figures.reacting(reactions, [titled(signal) for signal in reactions["signal"]]),
        Markup(
            "<b>Mean change of score by signal</b>, 95 % bootstrap interval over queries. "
            "Filled: the model reacts beyond what a random word does."
        ),
        "Mean change of score: "
        + ", ".join(f"{row.signal} {row.change:+.2f}" for row in reactions.itertuples()),
    )


def called(checkpoint: str) -> str:
    """What to call the model in a sentence."""
    return "the embedded reranker" if checkpoint == EMBEDDED else checkpoint


def titled(signal: str) -> str:
    return signal if signal == CONTROL else f"{signal}: {SIGNALS[signal].title.lower()}"


def lasting(seconds: float) -> str:
    """A duration as people say it."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
