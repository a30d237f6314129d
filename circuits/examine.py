"""A model put to the test of some claims, each verdict kept as soon as it is there.

    claims       one row per claim: whether it holds, what decided, the members found
    figures      one row per figure of a claim, with interval, control and expectation
    NAME-TABLE   what a test measured, where it has tables
    circuit.json the circuit that was traced, where one was; members.py the same, as the lines
                 that `embedded` has

A run that is gone on with reads the verdicts that are there and tests the other claims, and those
again of which a table is gone or damaged.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pandas as pd

from crosslens import Circuit, Findings, NotMeasurable

from .claim import Claim, Verdict
from .embedded import as_code
from .evidence import Evidence
from .figure import Figure


def examine(claims: Sequence[Claim[Any]], evidence: Evidence, findings: Findings) -> None:
    """The verdict on each of the claims, into the tables of `findings`."""
    lost = findings.lost()
    for done, claim in enumerate(claims):
        evidence.watch("Testing claims", done, len(claims))

        @cache  # the two tables are of one verdict, and neither is computed if both are there
        def verdict(claim: Claim[Any] = claim) -> Verdict:
            found = judged(claim, evidence)
            for name, table in found.tables.items():
                findings.table(f"{claim.name}-{name}", table)
            if evidence.is_traced:
                keep_circuit(evidence, findings)
            return found

        if any(name.startswith(f"{claim.name}-") for name in lost):
            verdict()  # which writes what it measured again
        key = f"{done}-{claim.name}"
        findings.chunk("figures", key, lambda verdict=verdict: verdict().frame())
        findings.chunk("claims", key, lambda verdict=verdict: claims_frame(verdict()))
    if lost & {"circuit.json", "members.py"}:
        keep_circuit(evidence, findings)
    evidence.watch("Testing claims", len(claims), len(claims))
    findings.gather("figures", also_json=True)
    findings.gather("claims", also_json=True)


def keep_circuit(evidence: Evidence, findings: Findings) -> None:
    """The circuit as files; written before the verdict that rests on it counts as finished."""
    circuit = evidence.circuit
    pairs = f"{len(evidence.tfc1)} pairs each of {evidence.collection.name}"
    findings.text("circuit.json", as_json(circuit))
    findings.text("members.py", as_code(circuit, f"{circuit.source}, {pairs}"))


def judged(claim: Claim[Any], evidence: Evidence) -> Verdict:
    """The claim's verdict; undecided, and why, where these texts or this model allow no test."""
    try:
        return beside_known(claim, claim.detect(evidence))
    except NotMeasurable as error:
        return Verdict.undecided(claim.name, evidence.checkpoint, str(error))


def beside_known(claim: Claim[Any], verdict: Verdict) -> Verdict:
    """The verdict, with how many of the members found are those that a source names."""
    known = claim.known.get(verdict.checkpoint)
    if known is None or not known.members or not verdict.members:
        return verdict
    both = known.members & verdict.members
    figures = [
        Figure(
            f"members found, of the {len(known.members)} known ({known.sure})",
            len(both) / len(known.members),
            n=len(known.members),
        ),
        Figure(
            f"known members, of the {len(verdict.members)} found",
            len(both) / len(verdict.members),
            n=len(verdict.members),
        ),
    ]
    return replace(verdict, figures=(*verdict.figures, *figures))


def claims_frame(verdict: Verdict) -> pd.DataFrame:
    """The verdict as a table of one row."""
    table = pd.DataFrame([verdict.record()])
    table["holds"] = table["holds"].astype("boolean")  # None is an answer
    return table


def as_json(circuit: Circuit) -> str:
    """A circuit as text that any program reads: roles and edges, by the names of their units."""
    return json.dumps(
        {
            "name": circuit.name,
            "checkpoint": circuit.checkpoint,
            "source": circuit.source,
            "roles": {role: sorted(map(str, units)) for role, units in circuit.roles.items()},
            "edges": sorted([str(edge.sender), str(edge.receiver)] for edge in circuit.edges),
        },
        indent=2,
    )
