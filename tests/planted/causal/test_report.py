"""A report on the planted decoder, from the name to the page: what was planted is what it says."""

import re

import pytest

from crosslens import collection, Findings, load, plant
from crosslens.provenance import provenance
from crosslens.report.measure import measure
from crosslens.report.page import page
from crosslens.report.question import CONTROL, Question


NAME = "planted:causal?layers=3&heads=3&decoys=1"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Findings:
    model, few = load(NAME), collection().sample(10, 10)
    asked = Question(NAME, "embedded", pairs=8, scored=10, signals=("TFC1", "TFC2"))
    findings = Findings.create(
        tmp_path_factory.mktemp("run"), asked.config, provenance=provenance(few, model=model)
    )
    measure(asked, model, few, findings)
    findings.text("report.html", page(findings))
    return findings


def test_the_model_reacts_to_exact_matches_and_to_no_control(finished):
    reactions = finished.read("reactions").set_index("signal")["reacts"].to_dict()
    assert not reactions.pop(CONTROL)
    assert reactions and all(reactions.values())


def test_its_claims_hold_as_far_as_a_decoder_allows(finished):
    claims = finished.read("claims").set_index("claim")
    assert claims.loc["matching", "holds"] and claims.loc["bm25", "holds"]
    assert not claims.loc["contextual", "holds"]
    assert not claims.loc["relevance", "holds"]  # the last token reads the document, not the query
    figures = finished.read("figures")
    is_of_query = figures["name"].str.startswith("share of what they write at the scored token")
    (of_query,) = figures.loc[is_of_query, "value"]
    assert abs(of_query) < 0.01


def test_the_circuit_is_drawn_where_it_was_planted(finished):
    nodes, edges = finished.read("circuit_nodes"), finished.read("circuit_edges")
    roles = plant(NAME).circuit.roles
    matching, scoring = (
        {str(unit) for unit in roles[name]} for name in ("matching", "relevance scoring")
    )
    assert set(nodes["unit"]) == matching | scoring
    assert dict(zip(nodes["unit"], nodes["writes"], strict=True)) == {
        **dict.fromkeys(matching, "D_inj"),
        **dict.fromkeys(scoring, "[SEP]2"),
    }
    assert set(edges["sender"]) == matching | scoring and len(edges) == 3
    text = (finished.folder / "report.html").read_text()
    assert re.search(r"The relevance score, read at \[SEP\]2", text)
