"""The section on the circuit: verdicts as a table, the picture, its heads, the fitted formula."""

from collections.abc import Mapping
from typing import Any, Final

from markupsafe import Markup

from crosslens.circuits.catalogue import CLAIMS
from crosslens.circuits.figure import number

from ..findings import Findings
from ..surrogate.comparison import SOFT, TUNED
from . import figures
from .frames import Frame, read
from .graph import drawn
from .numbered import Figures


WORDS: Final = {True: ("holds", "yes"), False: ("does not hold", "no")}
TABLES: Final[Mapping[str, str]] = {
    "claims": "the verdict on every claim, with the figure that decided",
    "figures": "every figure of a claim, with interval, control and what was expected",
    "circuit_nodes": "the heads of the circuit: part, effect, where they read and write",
    "circuit_edges": "the paths between heads and to the score",
    "edge_circuits": "what the most important edges restore alone, at growing sizes",
    "formulas": "how well a BM25-like formula predicts the score, and each of its controls",
    "fit": "what the formula and tuned BM25 predict for each pair, beside the model's score",
    "coefficients": "of the formula, fitted on all pairs",
}


def section(findings: Findings, figure: Figures) -> dict[str, Any] | None:
    """What the template shows of the circuit; None where it was left out."""
    there = set(findings.tables())
    if "claims" not in there:
        return None
    measured = read(findings, "figures")
    found: dict[str, Any] = {
        "claims": [verdict(row, measured) for row in read(findings, "claims").to_dict("records")],
        "picture": None,
        "heads": [],
    }
    if "circuit_nodes" in there:
        nodes, edges = read(findings, "circuit_nodes"), read(findings, "circuit_edges")
        found["picture"] = drawn(nodes, edges, findings.meta["model"]["layers"])
        found["heads"] = nodes.sort_values(["layer", "name"]).to_dict("records")
        found["paths"] = paths(edges)
        found["above_one"] = bool((nodes["effect"] > 1).any())
    found["why_no_picture"] = findings.meta.get("no_circuit", "")
    found["why_no_formula"] = findings.meta.get("no_formula", "")
    if "edge_circuits" in there:
        found["edges"] = grown(findings, figure)
    if "fit" in there:
        found |= fitted(findings, figure)
    return found


def grown(findings: Findings, figure: Figures) -> dict[str, Any]:
    """The curve of circuits of edges, and the areas that sum it up."""
    table, areas = read(findings, "edge_circuits"), findings.meta["edge_areas"]
    picture = figure(
        figures.grown(table),
        Markup("<b>Circuits of edges</b>: CPR {:.2f}, CMD {:.2f}").format(
            areas["CPR"], areas["CMD"]
        ),
        "Share of the contrast restored by the most important edges alone: "
        + ", ".join(
            f"{size} edges {mean:.2f}"
            for size, mean in zip(table["size"], table["mean"], strict=True)
        ),
    )
    return {"figure": picture, "n": int(table["n_all"].iloc[0])}


def fitted(findings: Findings, figure: Figures) -> dict[str, Any]:
    """The formula beside BM25: two clouds, the controls, the coefficients."""
    formulas, fit = read(findings, "formulas"), read(findings, "fit")
    table = formulas[formulas["split"] == "by query"].set_index("formula")
    clouds = []
    for name, colour in ((SOFT, figures.MODEL_COLOUR), (TUNED, figures.BM25_COLOUR)):
        row = table.loc[name]
        clouds.append(
            figure(
                figures.predicted(fit, name, colour),
                Markup("<b>{}</b>: r = {:.2f} ({:.2f} to {:.2f})").format(
                    name, row["pearson"], row["low"], row["high"]
                ),
                f"The model's score against {name}: correlation {row['pearson']:.2f} over "
                f"{row['pairs']:.0f} pairs.",
            )
        )
    return {
        "clouds": clouds,
        "formula": findings.meta["formula"],
        "formulas": table.reset_index().to_dict("records"),
        "coefficients": read(findings, "coefficients").to_dict("records"),
    }


def verdict(row: dict[str, Any], measured: Frame) -> dict[str, Any]:
    """One claim as the table has it, with the figures behind it."""
    word, mark = WORDS.get(row["holds"], ("undecided", "open"))
    own = measured[measured["claim"] == row["claim"]]
    claim = CLAIMS[row["claim"]]
    return {
        "name": row["claim"],
        "text": claim.claim,
        "test": claim.test,
        "source": claim.source,
        "verdict": word,
        "mark": mark,
        "figure": row["figure"],
        "reason": row["reason"],
        "pairs": row["pairs"] or "",
        "value": valued(row),
        "control": number(row["control"]),
        "expected": row["expected"],
        "figures": [
            {
                "name": each["name"],
                "value": valued(each),
                "control": number(each["control"]),
                "n": each["n"],
                "expected": each["expected"],
                "reason": each["reason"],
                "holds": {True: "yes", False: "no"}.get(each["holds"], ""),
            }
            for each in own.to_dict("records")
        ],
    }


def valued(row: dict[str, Any]) -> str:
    """A value and its interval."""
    text, low = number(row["value"]), number(row["low"])
    return text if low == "–" else f"{text} ({low} to {number(row['high'])})"


def paths(edges: Frame) -> list[dict[str, Any]]:
    """The paths, the strongest first."""
    order = edges["effect"].abs().sort_values(ascending=False, kind="stable").index
    return edges.loc[order].to_dict("records")
