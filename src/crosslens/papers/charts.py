"""A figure of a paper, drawn from the measured table in the paper's own layout."""

import textwrap
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ..frames import Frame
from .agreement import selected
from .paper import Chart, PaperFigure


COLOURS: Final = (
    "#2b66bd", "#d9822b", "#1a7f4b", "#8a4fb5", "#b2182b", "#00788a", "#8c6d00", "#5b6472",
)  # fmt: skip
PUBLISHED: Final = "#9aa3b0"
LONGEST: Final = 30  # characters of a line along the height of a chart


def drawn(figure: PaperFigure, table: pd.DataFrame) -> go.Figure | None:
    """The chart; nothing where a figure is a table or a text, or where nothing was found."""
    if table.empty:
        return None
    rows = selected(with_published(table, figure), figure.chart.where)
    if figure.chart.kind in ("lines", "points"):
        return _lines(figure, rows)
    if figure.chart.kind == "bars":
        return _bars(figure.chart, rows)
    if figure.chart.kind == "heatmap":
        return _heatmap(figure.chart, rows)
    if figure.chart.kind in ("table", "highlights"):
        return None
    raise ValueError(f"{figure.number}: no chart is of the kind {figure.chart.kind!r}")


def with_published(table: pd.DataFrame, figure: PaperFigure) -> pd.DataFrame:
    """The table with the values that the paper prints beside the columns they belong to.

    Rows without a printed value are empty there.
    """
    table = table.copy()
    for each in figure.published:
        title = published_column(each.column)
        rows = selected(table, each.where).index
        if each.column not in table or rows.empty:
            continue
        if title not in table:
            table.insert(list(table.columns).index(each.column) + 1, title, np.nan)
        table.loc[rows, title] = each.value
    return table


def published_column(name: str) -> str:
    """What the column of published values beside a column is called."""
    return f"{name}, published"


def _groups(chart: Chart, rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    if not chart.by:
        return [("", rows)]
    return [(str(name), some) for name, some in rows.groupby(chart.by, sort=False)]


def _lines(figure: PaperFigure, rows: pd.DataFrame) -> go.Figure:
    """A line for each group with a band for its interval; published curves are dashed."""
    chart, found = figure.chart, go.Figure()
    colours: dict[str, str] = {}  # a published curve has the colour of the group of its name
    for i, (name, some) in enumerate(_groups(chart, rows)):
        some, colour = some.sort_values(chart.x), COLOURS[i % len(COLOURS)]
        colours[name] = colour
        if chart.low:
            found.add_trace(_band(chart, some, colour))
        found.add_trace(
            go.Scatter(
                x=some[chart.x],
                y=some[chart.y],
                name=_shown(name) or "measured",
                mode="markers" if chart.kind == "points" else "lines+markers",
                line={"color": colour, "width": 2},
                marker={"size": 6},
            )
        )
        found.add_traces(_published(chart, some, name, colour))
    for i, curve in enumerate(figure.curves):
        found.add_trace(
            go.Scatter(
                x=list(curve.x),
                y=list(curve.y),
                name=f"published: {_shown(curve.name)}",
                mode="lines",
                line={
                    "color": colours.get(curve.name, COLOURS[i % len(COLOURS)]),
                    "width": 1.5,
                    "dash": "dot",
                },
            )
        )
    if chart.log_x:
        found.update_xaxes(type="log")
    return _laid_out(found, chart, height=340)


def _band(chart: Chart, some: pd.DataFrame, colour: str) -> go.Scatter:
    x, low, high = (some[column].to_numpy() for column in (chart.x, chart.low, chart.high))
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return go.Scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        mode="lines",  # no points where the interval ends
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},.14)",
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
    )


def _bars(chart: Chart, rows: pd.DataFrame) -> go.Figure:
    found = go.Figure()
    for i, (name, some) in enumerate(_groups(chart, rows)):
        colour = COLOURS[i % len(COLOURS)]
        error: dict[str, Any] | None = None
        if chart.low:
            error = {
                "type": "data",
                "symmetric": False,
                "array": some[chart.high] - some[chart.y],
                "arrayminus": some[chart.y] - some[chart.low],
            }
        found.add_trace(
            go.Bar(
                x=[_shown(str(value)) for value in some[chart.x]],
                y=some[chart.y],
                name=_shown(name),
                error_y=error,
                offsetgroup=name,
                marker={"color": colour, "opacity": 0.8},
                showlegend=bool(name),
            )
        )
        found.add_traces(_published(chart, some, name, colour))
    found.update_layout(barmode="group", scattermode="group")
    return _laid_out(found, chart, height=340)


def _published(chart: Chart, some: Frame, name: str, colour: str) -> list[go.Scatter]:
    """What the paper prints for some rows, as diamonds."""
    title = published_column(chart.y)
    if title not in some or not some[title].notna().to_numpy().any():
        return []
    some = some.dropna(subset=[title])
    x = some[chart.x]
    return [
        go.Scatter(
            x=x if pd.api.types.is_numeric_dtype(x) else [_shown(str(value)) for value in x],
            y=some[title],
            name=" ".join(("published:", _shown(name))).strip(": "),
            mode="markers",
            offsetgroup=name,
            marker={
                "symbol": "diamond",
                "size": 9,
                "color": colour,
                "line": {"width": 1, "color": "#1d2129"},
            },
        )
    ]


def _heatmap(chart: Chart, rows: pd.DataFrame) -> go.Figure:
    table = rows.pivot_table(index=chart.by, columns=chart.x, values=chart.y, sort=False)
    most = float(np.nanmax(np.abs(table.to_numpy()))) if table.size else 1.0
    found = go.Figure(
        go.Heatmap(
            z=table.to_numpy(),
            x=[_shown(str(name)) for name in table.columns],
            y=[_shown(str(name)) for name in table.index],
            zmin=-most,
            zmax=most,
            zmid=0,
            xgap=1,
            ygap=1,
            colorbar={"thickness": 10},
        )
    )
    found.update_yaxes(type="category", autorange="reversed")
    found.update_xaxes(type="category")
    return _laid_out(found, chart, height=90 + 26 * len(table))


def _shown(name: str) -> str:
    """A name as text: Plotly reads tags in labels."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _laid_out(figure: go.Figure, chart: Chart, *, height: int) -> go.Figure:
    figure.update_layout(
        template=None,
        height=height,
        margin={"l": 8, "r": 8, "t": 16, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 12},
        legend={"orientation": "h", "y": -0.25},
    )
    figure.update_xaxes(title=chart.x_title or chart.x, automargin=True, ticks="")
    title = "<br>".join(textwrap.wrap(chart.y_title or chart.y, LONGEST))
    figure.update_yaxes(title=title, automargin=True, ticks="")
    return figure
