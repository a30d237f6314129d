"""One page of a reproduced paper: every figure, published beside measured, and what agrees."""

import re
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final

import pandas as pd
from jinja2 import Environment
from markupsafe import escape, Markup
from plotly.offline import get_plotlyjs

from ..attribution.words.highlighted import highlighted
from .agreement import AGREES, DISAGREES, LEANS, NOT_MEASURED, selected
from .charts import drawn, published_column, with_published
from .paper import Paper
from .reproduce import Reproduced


SHOWN: Final = 60  # rows of a table on the page; the run holds them all
TONES: Final = {AGREES: "yes", LEANS: "open", DISAGREES: "no", NOT_MEASURED: "open"}


def page(paper: Paper, found: Sequence[Reproduced], facts: dict[str, Any]) -> str:
    """The page of a paper, as HTML.

    Args:
        facts: what the head of the page says: model, collections, seed, command, versions.
    """
    here, report = files("crosslens") / "papers", files("crosslens") / "report"
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["code"] = code
    template = environment.from_string((here / "template.html").read_text(encoding="utf-8"))
    counts = Counter(each.verdict for one in found for each in one.agreements)
    return template.render(
        paper=paper,
        facts=facts,
        counts=[(name, TONES[name], counts[name]) for name in TONES if counts[name]],
        figures=[_shown(number, each, paper.name) for number, each in enumerate(found, start=1)],
        style=Markup((report / "style.css").read_text(encoding="utf-8")),
        script=Markup((report / "draw.js").read_text(encoding="utf-8")),
        plotly=Markup(get_plotlyjs()),
    )


def code(text: str) -> Markup:
    """A text with what stands between backticks as code; all else as it is."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _shown(number: int, one: Reproduced, paper: str) -> dict[str, Any]:
    """A figure as the template wants it."""
    chart, table, texts, why_not = None, None, "", one.why_not
    if one.table is not None:
        if one.table.empty:
            why_not = "the pairs of this model hold nothing that the figure counts"
        figure = drawn(one.figure, one.table)
        if figure is not None:
            text = figure.to_json() or ""
            chart = {
                "id": f"figure-{number}",
                "height": int(figure.layout.height),
                "json": Markup(text.replace("</", "<\\/")),  # nothing may close its script
            }
        if one.figure.chart.kind == "highlights":
            texts = highlighted(one.table)
        numbers = with_published(one.tables[one.figure.numbers], one.figure)
        if one.figure.numbers == one.figure.table:
            numbers = selected(numbers, one.figure.chart.where)
        table = _rows(numbers, one.figure.chart.columns)
    return {
        "number": one.figure.number,
        "question": one.figure.question,
        "note": one.figure.note,
        "why_not": why_not,
        "chart": chart,
        "table": table,
        "texts": Markup(texts),
        "command": f'crosslens reproduce {paper} --only "{one.figure.number}"',
        "is_table": one.figure.chart.kind == "table",
        "folder": one.folder,
        "analysis": one.figure.analysis,
        "agreements": [
            {"verdict": each.verdict, "tone": TONES[each.verdict], "sentence": each.sentence}
            for each in one.agreements
        ],
    }


def _rows(table: pd.DataFrame, columns: Sequence[str]) -> dict[str, Any]:
    wanted = [each for name in columns for each in (name, published_column(name))]
    chosen = table[[name for name in wanted or table.columns if name in table]]
    rows = [[_cell(value) for value in row] for row in chosen.head(SHOWN).itertuples(index=False)]
    return {"columns": list(chosen.columns), "rows": rows, "left_out": max(0, len(chosen) - SHOWN)}


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return "" if value is None else str(value)
