"""The circuit in a report: the claims put to the test, the heads found, and where they stand.

Tables and files:
    claims, figures     the verdicts on the catalogue's claims, and what they rest on
    circuit.json        the traced circuit as text
    circuit_nodes       one row per head of it: its part, its effect, its route
    circuit_edges       one row per path between heads, or to the score
    edge_circuits       on request: what the most important edges restore, at growing sizes
    formulas            how well a BM25-like formula predicts the score, beside its controls
    fit, coefficients   that formula: what it predicts for each pair of a query it was not fitted on
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from crosslens.circuits.catalogue import CLAIMS
from crosslens.circuits.evidence import Evidence
from crosslens.circuits.examine import examine
from crosslens.circuits.head_figures import rise
from crosslens.circuits.placing import placed

from ..attribution.edges.edge_attribution import edge_attribution
from ..attribution.paths.chain import Chain, SCORE
from ..faithfulness.curve import curve
from ..faithfulness.edges import keep_edges
from ..faithfulness.growing import ranked, sizes
from ..findings import Findings
from ..not_measurable import NotMeasurable
from ..sites import Unit
from .frames import Frame, pd


SHARES: Final = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of the edges
STEPS: Final = 5  # of integrated gradients along which edges are ranked


def examined(
    evidence: Evidence,
    findings: Findings,
    claims: Iterable[str] = CLAIMS,
    *,
    edges: bool = False,
) -> None:
    """The verdict on every claim, and the circuit they are about, into tables.

    With `edges`, what the most important edges restore, too: minutes.
    """
    examine([CLAIMS[name] for name in claims], evidence, findings)
    if "circuit_nodes" in findings.tables() or findings.meta.get("no_circuit"):
        return  # a run that is resumed
    try:
        why = not_traced(evidence)
    except NotMeasurable as error:  # no pair of these texts shows the signal
        why = str(error)
    findings.note(no_circuit=why)
    if not why:
        fitted(evidence, findings)
        if edges:
            grown(evidence, findings)
        findings.table("circuit_edges", paths(evidence.chain))
        placed_heads = placed(evidence.model, evidence.tfc1, evidence.circuit.roles)
        findings.table("circuit_nodes", placed_heads)


def not_traced(evidence: Evidence) -> str:
    """Why there is no circuit to draw; nothing where there is one."""
    reaction = rise(evidence)
    if not reaction.holds:
        return f"the score does not rise with an exact match ({reaction})"
    if not evidence.circuit.units:
        return "no head stands out on the way to the score"
    return ""


def paths(chain: Chain) -> Frame:
    """The paths of the chain: sender, receiver and the mean share that the path carries."""
    rows = []
    for step in chain.steps:
        if len(step.receivers) > 1:
            continue
        receiver = head_of(step.receivers[0]) if step.receivers else SCORE
        summary: Frame = step.summary
        for found in summary[summary["chosen"]].to_dict("records"):
            rows.append(
                {
                    "sender": found["unit"],
                    "sender_name": short(found["unit"]),
                    "receiver": receiver,
                    "receiver_name": short(receiver),
                    "read": "" if receiver == SCORE else step.read,
                    "effect": found["mean"],
                    "low": found["low"],
                    "high": found["high"],
                    "q": found["q"],
                }
            )
    columns = "sender sender_name receiver receiver_name read effect low high q".split()
    return pd.DataFrame(rows, columns=columns)


def head_of(receiver: Unit) -> str:
    """The head that reads there, by what it writes."""
    return str(Unit(receiver.site._replace(name="z"), receiver.coordinates))


def short(name: str) -> str:
    """A head as papers write it; anything else by its own name."""
    found = re.fullmatch(r"(\d+)\.z\[head=(\d+)\]", name)
    return f"{found[1]}.{found[2]}" if found else name


def grown(evidence: Evidence, findings: Findings) -> None:
    """What circuits of edges restore as they grow, ranked by integrated gradients."""
    evidence.watch("Scoring edges", 0, 1)
    contrast = evidence.tfc1
    size: Any = sizes(edge_attribution(evidence.model, contrast, steps=STEPS))
    found = curve(evidence.model, contrast, ranked(size), keep=keep_edges, shares=SHARES)
    findings.table("edge_circuits", found.of.summary().assign(n_all=found.of.n_all))
    areas: Frame = found.summary().set_index("measure")["mean"]
    findings.note(edge_areas={name: float(areas[name]) for name in ("CPR", "CMD")})
    evidence.watch("Scoring edges", 1, 1)


def fitted(evidence: Evidence, findings: Findings) -> None:
    """The formula's score of every observed pair beside the model's, if there is a formula."""
    try:
        formulas = evidence.formulas
    except NotMeasurable as error:  # no matching head, or too few queries to leave some out
        findings.note(no_formula=str(error))
        return
    findings.table("formulas", formulas, also_json=True)
    soft, tuned = evidence.fits
    pairs = pd.DataFrame(
        {
            "qid": soft.qid.astype(str),
            "score": soft.score,
            "soft BM25": soft.predicted,
            "BM25, tuned": tuned.predicted,
        }
    )
    findings.table("fit", pairs)
    findings.table(
        "coefficients", pd.DataFrame({"term": soft.names, "coefficient": soft.coefficients})
    )
    findings.note(formula=soft.formula)
