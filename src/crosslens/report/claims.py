"""The section on the circuit: verdicts as a table, the picture, its heads, the fitted formula."""

from collections.abc import Mapping
from typing import Any, Final

from crosslens.circuits.catalogue import CLAIMS
from crosslens.circuits.claim import number

from ..findings import Findings
from .frames import Frame, read
from .graph import drawn


WORDS: Final = {True: ("holds", "yes"), False: ("does not hold", "no")}
TABLES: Final[Mapping[str, str]] = {
    "claims": "the verdict on every claim, with the figure that decided",
    "figures": "every figure of a claim, with interval, control and what was expected",
    "circuit_nodes": "the heads of the circuit: part, effect, where they read and write",
    "circuit_edges": "the paths between heads and to the score",
}


def section(findings: Findings) -> dict[str, Any] | None:
    """What the template shows of the circuit; None where it was left out."""
    there = set(findings.tables())
    if "claims" not in there:
        return None
    figures = read(findings, "figures")
    found: dict[str, Any] = {
        "claims": [verdict(row, figures) for row in read(findings, "claims").to_dict("records")],
        "picture": None,
        "heads": [],
    }
    if "circuit_nodes" in there:
        nodes, edges = read(findings, "circuit_nodes"), read(findings, "circuit_edges")
        found["picture"] = drawn(nodes, edges, findings.meta["model"]["layers"])
        found["heads"] = nodes.sort_values(["layer", "name"]).to_dict("records")
        found["paths"] = paths(edges)
    found["why_no_picture"] = findings.meta.get("no_circuit", "")
    return found


def verdict(row: dict[str, Any], figures: Frame) -> dict[str, Any]:
    """One claim as the table has it, with the figures behind it."""
    word, mark = WORDS.get(row["holds"], ("undecided", "open"))
    own = figures[figures["claim"] == row["claim"]]
    claim = CLAIMS[row["claim"]]
    return {
        "name": row["claim"],
        "text": claim.claim,
        "test": claim.test,
        "source": claim.source,
        "verdict": word,
        "mark": mark,
        "figure": row["figure"] or row["says"],
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
