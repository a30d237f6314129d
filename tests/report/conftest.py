"""One small finished run on a planted model, which the tests of the report share."""

from dataclasses import replace

import pytest

from crosslens import Collection, collection, CrossEncoder, Findings, load
from crosslens.provenance import provenance
from crosslens.report.measure import measure
from crosslens.report.page import page
from crosslens.report.question import Question


EVIL = "</script><script>alert(1)</script>"


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


@pytest.fixture(scope="session")
def poor(tmp_path_factory, planted, few) -> tuple[Findings, dict[str, list[tuple[int, int]]]]:
    """A run without a circuit, on texts of which little can be had, and the steps it reported.

    Nothing is judged but one query, one document holds no token, and names are hostile.
    """
    small = few.sample(6, 4)
    qid = min(small.candidates)
    documents = {key: f"{text} {EVIL}" for key, text in small.documents.items()}
    texts = replace(
        small,
        name=f"[/x]{EVIL}",
        documents=documents | {small.candidates[qid][0]: "\u200b\u200e"},
        qrels=tuple(each for each in small.qrels if each.query_id == qid),
        types={key: f"<a href='x'>{kind}</a>{EVIL}" for key, kind in small.types.items()},
    )
    asked = Question("p", "c", pairs=2, scored=5, signals=("TFC1",), circuit=False)
    folder = tmp_path_factory.mktemp("poor")
    findings = Findings.create(folder, asked.config, provenance=provenance(texts, model=planted))
    seen: dict[str, list[tuple[int, int]]] = {}
    measure(
        asked,
        planted,
        texts,
        findings,
        lambda step, done, total: seen.setdefault(step, []).append((done, total)),
    )
    return findings, seen
