"""The figures of a report: what is measured as position and colour, how sure it is on hover.

Colours that depend on a light or dark page are left to the page (`draw.js`): heatmaps carry a
diverging scale centred on 0, text and grid take the page's own.
"""

from collections.abc import Sequence
from html import escape
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go

from .frames import Column, Frame, pd
from .summary import claimed


MODEL_COLOUR: Final = "#3b7dd8"
BM25_COLOUR: Final = "#d9822b"
ROW: Final = 30  # pixels that a layer takes
SHOWN: Final = {
    "[SEP]1": "SEP₁",
    "[SEP]2": "SEP₂",
    "[CLS]": "CLS",
    "D_inj": "D inj",
    "D_other": "D rest",
    "Q-": "Q−",
    "D-": "D−",
}


def heatmap(
    units: Frame, parts: Sequence[str], *, most: float, axis: str, what: str = "restored"
) -> go.Figure:
    """Layers by token roles or heads, coloured by mean effect from −`most` to `most`.

    A number stands in the cells that the report's rules allow to name, and in no other.
    """
    layers = sorted(units["layer"].unique().tolist())
    by_cell = units.set_index(["layer", "part"]).assign(is_named=claimed(units).to_numpy())
    cells = [[by_cell.loc[(layer, part)] for part in parts] for layer in layers]
    named = [[f"{c['mean']:.2f}" if c["is_named"] else "" for c in row] for row in cells]
    figure = go.Figure(
        go.Heatmap(
            z=[[None if np.isnan(c["mean"]) else float(c["mean"]) for c in row] for row in cells],
            x=[SHOWN.get(part, part) for part in parts],
            y=[str(layer) for layer in layers],
            text=named,
            texttemplate="%{text}",
            textfont={"size": 11},
            customdata=[[hover(c, what) for c in row] for row in cells],
            hovertemplate="%{customdata}<extra></extra>",
            zmin=-most,
            zmax=most,
            zmid=0,
            xgap=1,
            ygap=1,
            colorbar={"thickness": 10, "outlinewidth": 0, "title": {"text": what, "side": "right"}},
        )
    )
    figure.update_xaxes(title=axis, side="bottom", type="category", tickangle=0)
    figure.update_yaxes(title="layer", autorange="reversed", type="category")
    return laid_out(figure, height=ROW * len(layers) + 90)


def literal(text: str) -> str:
    """A name as Plotly shows it letter by letter: it reads tags such as <a href=…> in labels."""
    return escape(str(text), quote=False)


def hover(cell: Column, what: str) -> str:
    """Mean, interval, number of pairs and q of one unit."""
    if np.isnan(cell["mean"]):
        return f"{cell['unit']}<br>no pair has such a token"
    return (
        f"<b>{cell['unit']}</b><br>{what} {cell['mean']:.3f}"
        f"<br>95 % interval {cell['low']:.3f} to {cell['high']:.3f}"
        f"<br>{cell['n']} pairs, q = {cell['q']:.2g}"
    )


def reacting(reactions: Frame, names: Sequence[str]) -> go.Figure:
    """The mean change of score that each signal makes, the control among them."""
    figure = go.Figure(
        go.Scatter(
            x=reactions["change"],
            y=list(names),
            mode="markers",
            marker={
                "size": 11,
                "color": MODEL_COLOUR,
                "symbol": ["circle" if reacts else "circle-open" for reacts in reactions["reacts"]],
                "line": {"width": 2, "color": MODEL_COLOUR},
            },
            error_x=between(reactions, "change", "low", "high", MODEL_COLOUR),
            customdata=reactions[["low", "high", "pairs"]],
            hovertemplate="%{y}: %{x:+.3f}<br>95 % interval %{customdata[0]:+.3f} to "
            "%{customdata[1]:+.3f}<br>%{customdata[2]} pairs<extra></extra>",
        )
    )
    figure.update_xaxes(title="change of score", zeroline=True, tickformat="~g")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return laid_out(figure, height=34 * len(reactions) + 80)


def by_type(types: Frame) -> go.Figure:
    """Where each type of document ends up in its query's ranking, by the model and by BM25."""
    types = types.assign(type=[literal(kind) for kind in types["type"]])
    figure = go.Figure()
    for row in types.itertuples():
        figure.add_trace(
            go.Scatter(
                x=[row.model_rank, row.bm25_rank],
                y=[row.type, row.type],
                mode="lines",
                line={"width": 2, "color": "rgba(128,128,128,.45)"},
                hoverinfo="skip",
                showlegend=False,
            )
        )
    for system, label, colour in (
        ("bm25", "BM25", BM25_COLOUR),
        ("model", "the model", MODEL_COLOUR),
    ):
        figure.add_trace(
            go.Scatter(
                x=types[f"{system}_rank"],
                y=types["type"],
                mode="markers",
                name=label,
                marker={"size": 11, "color": colour},
                error_x=between(
                    types, f"{system}_rank", f"{system}_rank_low", f"{system}_rank_high", colour
                ),
                customdata=types[[f"{system}_rank_low", f"{system}_rank_high", "n"]],
                hovertemplate="%{y}, " + label + ": mean rank %{x:.1f}<br>95 % interval "
                "%{customdata[0]:.1f} to %{customdata[1]:.1f}<br>%{customdata[2]} documents"
                "<extra></extra>",
            )
        )
    figure.update_xaxes(title="mean rank (1 is best)", zeroline=False)
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})
    return laid_out(figure, height=32 * len(types) + 110)


def levels(frame: Frame, axis: str) -> go.Figure:
    """The mean change of score at each level of a signal, from none on."""
    start = pd.DataFrame([{"level": 0, "change": 0.0, "low": 0.0, "high": 0.0}])
    whole = pd.concat([start, frame[["level", "change", "low", "high"]]], ignore_index=True)
    figure = go.Figure(
        go.Scatter(
            x=whole["level"],
            y=whole["change"],
            mode="lines+markers",
            line={"color": MODEL_COLOUR, "width": 2},
            marker={"size": 8},
            error_y=between(whole, "change", "low", "high", MODEL_COLOUR),
            customdata=whole[["low", "high"]],
            hovertemplate="%{x}: %{y:+.3f}<br>95 % interval %{customdata[0]:+.3f} to "
            "%{customdata[1]:+.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(title=axis, dtick=1)
    figure.update_yaxes(title="mean change of score", zeroline=True, tickformat="~g")
    return laid_out(figure, height=260)


def predicted(fit: Frame, formula: str, colour: str) -> go.Figure:
    """The model's score of each pair against what a formula predicts."""
    both = np.concatenate([fit[formula], fit["score"]])
    ends = [float(both.min()), float(both.max())]
    figure = go.Figure(
        [
            go.Scatter(
                x=ends,
                y=ends,
                mode="lines",
                line={"width": 1, "color": "rgba(128,128,128,.6)", "dash": "dot"},
                hoverinfo="skip",
                showlegend=False,
            ),
            go.Scatter(
                x=fit[formula],
                y=fit["score"],
                mode="markers",
                marker={"size": 5, "color": colour, "opacity": 0.65},
                customdata=[literal(qid) for qid in fit["qid"]],
                hovertemplate="query %{customdata}<br>formula %{x:.2f}, model %{y:.2f}"
                "<extra></extra>",
                showlegend=False,
            ),
        ]
    )
    figure.update_xaxes(title=f"{formula}, fitted on other queries", zeroline=False)
    figure.update_yaxes(title="the model's score", zeroline=False)
    return laid_out(figure, height=340)


def grown(table: Frame) -> go.Figure:
    """What circuits restore as they grow."""
    figure = go.Figure(
        go.Scatter(
            x=table["size"],
            y=table["mean"],
            mode="lines+markers",
            line={"color": MODEL_COLOUR, "width": 2},
            marker={"size": 8},
            error_y=between(table, "mean", "low", "high", MODEL_COLOUR),
            customdata=table[["low", "high"]],
            hovertemplate="%{x} edges: %{y:.3f}<br>95 % interval %{customdata[0]:.3f} to "
            "%{customdata[1]:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(title="edges kept, the most important first")
    figure.update_yaxes(title="share of the contrast restored", zeroline=True)
    return laid_out(figure, height=300)


def between(frame: Frame, middle: str, low: str, high: str, colour: str) -> dict[str, Any]:
    """Error bars from `low` to `high`."""
    return {
        "type": "data",
        "symmetric": False,
        "array": frame[high] - frame[middle],
        "arrayminus": frame[middle] - frame[low],
        "thickness": 1.5,
        "width": 0,
        "color": colour,
    }


def laid_out(figure: go.Figure, *, height: int) -> go.Figure:
    """On the page's own ground, without decoration."""
    figure.update_layout(
        template=None,
        height=height,
        margin={"l": 8, "r": 8, "t": 24, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 12},
        hoverlabel={"align": "left"},
    )
    figure.update_xaxes(automargin=True, fixedrange=True, ticks="")
    figure.update_yaxes(automargin=True, fixedrange=True, ticks="")
    return figure


def largest(units: Frame, n: int = 3) -> str:
    """The largest effects in words, for those who do not see a heatmap."""
    top = units.dropna(subset="mean")
    top = top.reindex(top["mean"].abs().sort_values(ascending=False).index).head(n)
    return ", ".join(f"{row.unit} {row.mean:.2f}" for row in top.itertuples())
