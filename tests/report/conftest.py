"""One small finished run on a planted model, which the tests of the report share."""

import pytest

from crosslens import Collection, collection, CrossEncoder, Findings, load
from crosslens.provenance import provenance
from crosslens.report.measure import measure
from crosslens.report.page import page
from crosslens.report.question import Question


@pytest.fixture(scope="session")
def planted() -> CrossEncoder:
    return load("planted:bm25")


@pytest.fixture(scope="session")
def few() -> Collection:
    """Ten queries of the embedded collection with all their documents."""
    return collection("embedded").sample(10, 10)


@pytest.fixture(scope="session")
def question() -> Question:
    return Question(
        "planted:bm25", "embedded", pairs=5, scored=10, signals=("TFC1", "STMC1", "TFC2")
    )


@pytest.fixture(scope="session")
def finished(tmp_path_factory, planted, few, question) -> Findings:
    folder = tmp_path_factory.mktemp("run")
    findings = Findings.create(folder, question.config, provenance=provenance(few, model=planted))
    measure(question, planted, few, findings)
    findings.text("report.html", page(findings))
    return findings
