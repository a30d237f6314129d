"""The sections of a report: one for each contrast that was asked for, measured or not."""

from typing import Any, Final

import numpy as np
from markupsafe import Markup

from ..contrasts.catalogue import AXIOMS
from ..findings import Findings
from . import figures
from .frames import Frame, read
from .numbered import Figure, Figures
from .question import CONTROL, SIGNALS
from .summary import claimed
from .texts import example


TOP: Final = 10  # heads in the table of a contrast
ABOVE_ONE: Final = (
    "A value above 1 (more than 100 %) means that the part alone moves the score further than the "
    "whole signal does: other parts, which were left as they were, answer the signal by pushing "
    "back."
)
PANELS: Final = {
    "resid_pre": "Input of the layer",
    "attn_out": "What attention writes",
    "mlp_out": "What the MLP writes",
}


def level_figures(levels: Frame | None, figure: Figures) -> list[Figure]:
    """The curves of the signals that come in levels."""
    if levels is None:
        return []
    return [
        figure(
            figures.levels(frame, SIGNALS[str(signal)].levels),
            Markup("<b>{}</b>: change of score by {}, {} pairs").format(
                signal, SIGNALS[str(signal)].levels, int(frame["n"].max())
            ),
            f"{signal}: " + ", ".join(f"{r.level}: {r.change:+.2f}" for r in frame.itertuples()),
        )
        for signal, frame in levels.groupby("signal", sort=False)
    ]


def sections(
    findings: Findings, reactions: Frame | None, units: Frame | None, figure: Figures
) -> list[dict[str, Any]]:
    """One section for each contrast that was asked for, possible or not."""
    meta = findings.meta
    statements = read(findings, "statements")
    pairs = read(findings, "pairs") if reactions is not None else None
    scales = scale(units)
    found = []
    for signal in findings.config["signals"]:
        section: dict[str, Any] = {
            "signal": signal,
            "title": SIGNALS[signal].title,
            "axiom": AXIOMS[signal],
            "impossible": meta["impossible"].get(signal, ""),
        }
        if reactions is not None and pairs is not None and not section["impossible"]:
            own_statements = statements[statements["signal"] == signal]
            own = None if units is None else units[units["signal"] == signal]
            has_effects = own is not None and not own.empty
            # the control on the scale of what it is a control of
            alike = "TFC1" if signal == CONTROL and "TFC1" in scales else signal
            most = scales.get(alike, (1.0, 1.0))
            what = "change, as a share of TFC1's" if signal == CONTROL else "restored"
            section |= {
                "opening": own_statements[own_statements["layer"] < 0]["text"].tolist(),
                "layers": [
                    (row.layer, row.text) for row in own_statements.itertuples() if row.layer >= 0
                ],
                "example": example(pairs[(pairs["signal"] == signal) & pairs["is_patched"]]),
                "figures": heatmaps(signal, own, most, what, figure) if has_effects else [],
                "heads": top_heads(own) if has_effects else [],
                "what": what,
                "above_one": own is not None and bool((own["mean"] > 1).any()),
                "counts": counts(signal, reactions, meta),
            }
        found.append(section)
    return found


def scale(units: Frame | None) -> dict[str, tuple[float, float]]:
    """How far the colours of a contrast reach: over roles, and over heads."""
    if units is None:
        return {}
    return {
        str(signal): (
            float(np.clip(frame[frame["site"] != "z"]["mean"].abs().max(), 0.2, 1.2)),
            float(np.clip(frame[frame["site"] == "z"]["mean"].abs().max(), 0.05, 1.2)),
        )
        for signal, frame in units.groupby("signal")
    }


def heatmaps(
    signal: str, units: Frame, most: tuple[float, float], what: str, figure: Figures
) -> list[Figure]:
    """Layer by token role for each of the streams, and layer by head."""
    drawn = []
    for site, title in PANELS.items():
        own = units[units["site"] == site]
        drawn.append(
            figure(
                figures.heatmap(
                    own, own["part"].unique().tolist(), most=most[0], axis="token role", what=what
                ),
                Markup("<b>{}</b>, by layer and token role").format(title),
                f"{signal}, {title.lower()}, by layer and token role. Largest: "
                f"{figures.largest(own)}.",
            )
        )
    own = units[units["site"] == "z"]
    parts = sorted(own["part"].unique(), key=int)
    return [
        *drawn,
        figure(
            figures.heatmap(own, parts, most=most[1], axis="head", what=what),
            Markup("<b>Heads</b>, by layer and head, on a scale of their own"),
            f"{signal}, heads, by layer and head. Largest: {figures.largest(own)}.",
        ),
    ]


def top_heads(units: Frame) -> list[dict[str, Any]]:
    """The heads with the largest effects."""
    heads = units[units["site"] == "z"]
    heads = heads.assign(is_named=claimed(heads))
    order = heads["mean"].abs().sort_values(ascending=False).index[:TOP]
    return heads.loc[order].to_dict("records")


def counts(signal: str, reactions: Frame, meta: dict[str, Any]) -> str:
    """How many pairs were scored, patched and left out, and why."""
    row = reactions.set_index("signal").loc[signal]
    least = meta["least_change"][signal]
    patched = meta["patched"].get(signal, 0)
    text = f"{row['pairs']} pairs of {row['queries']} queries scored; "
    if patched:
        text += f"patched are the first {patched} whose score changes by {least:.3g} or more."
    else:
        text += f"none is patched, as no score changes by {least:.3g} or more."
    left_out = meta["left_out"].get(signal, {})
    if left_out:
        why = ", ".join(f"{n} {reason}" for reason, n in left_out.items())
        text += f" Candidates left out: {why}."
    return text
