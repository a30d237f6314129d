"""The figure of a benchmark: methods by conditions, a cell as dark as the method was right."""

from typing import Final

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots


ROW: Final = 26  # pixels that a method takes
GAP: Final = 90  # between panels, for their titles and the names of the conditions


def heatmap(summary: pd.DataFrame) -> str:
    """A page that opens offline: a panel for each kind of part, exact figures on hover.

    `summary` has one row per kind, condition and method, as `analyses.discovery` makes it.
    """
    kinds = list(summary["kind"].unique())
    parts = [summary.query(f"kind == {kind!r}") for kind in kinds]
    names = [part["method"].unique() for part in parts]
    n_rows = sum(map(len, names))
    height = ROW * n_rows + GAP * (len(kinds) + 1)
    figure = make_subplots(
        rows=len(kinds),
        cols=1,
        row_heights=[len(each) / n_rows for each in names],
        vertical_spacing=GAP / height,
        subplot_titles=[
            f"<b>{kind}</b>: R-precision (and cost in forward passes)" for kind in kinds
        ],
    )
    for row, (part, methods) in enumerate(zip(parts, names, strict=True), start=1):
        figure.add_trace(panel(part, list(methods)), row=row, col=1)
    figure.update_yaxes(autorange="reversed", type="category", ticks="", automargin=True)
    figure.update_xaxes(type="category", side="top", ticks="", tickangle=0)
    figure.update_annotations(x=0, xanchor="left", yshift=24)
    figure.update_layout(
        template=None,
        width=1100,
        height=height,
        margin={"l": 8, "r": 8, "t": GAP, "b": 8},
        font={"size": 12, "family": "system-ui, sans-serif"},
    )
    return figure.to_html(include_plotlyjs=True, config={"displayModeBar": False})


def panel(part: pd.DataFrame, methods: list[str]) -> go.Heatmap:
    """One kind of part; a method's cost in the first condition stands beside its name."""
    conditions = list(part["condition"].unique())
    cells = part.set_index(["method", "condition"])
    cost = {name: cells.loc[(name, conditions[0]), "forward_passes"] for name in methods}
    rows = [[cells.loc[(name, condition)] for condition in conditions] for name in methods]
    return go.Heatmap(
        z=[[cell["r_precision"] for cell in row] for row in rows],
        x=conditions,
        y=[f"{name}  <i>{cost[name]:.0f}x</i>" for name in methods],
        text=[[f"{cell['r_precision']:.2f}" for cell in row] for row in rows],
        texttemplate="%{text}",
        customdata=[[hover(cell) for cell in row] for row in rows],
        hovertemplate="%{y}, %{x}<br>%{customdata}<extra></extra>",
        colorscale=[(0, "#f6f7f9"), (0.5, "#a9c6ec"), (1, "#2b66bd")],
        zmin=0,
        zmax=1,
        xgap=2,
        ygap=2,
        showscale=False,
    )


def hover(cell: pd.Series) -> str:
    """All that was measured of one method in one condition."""
    return (
        f"R-precision {cell['r_precision']:.2f} "
        f"({cell['r_precision_low']:.2f} to {cell['r_precision_high']:.2f})"
        f"<br>AUROC {cell['auroc']:.2f}, average precision {cell['average_precision']:.2f}"
        f"<br>{cell['models']} models, {cell['forward_passes']:.1f} forward passes, "
        f"{cell['seconds']:.2f} s"
    )
