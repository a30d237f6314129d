"""A report about an encoder-decoder, from its folder to the page."""

import re
from dataclasses import replace

from encoder_decoders import encoder_decoder, MONO, tokenizer

from crosslens import collection, Findings, load
from crosslens.provenance import provenance
from crosslens.report.measure import measure
from crosslens.report.page import page
from crosslens.report.question import Question


def test_a_report_is_made_of_an_encoder_decoder(tmp_path):
    """Of a tiny monoT5 that knows every word of some queries and documents."""
    few = collection("embedded").sample(7, 4)
    texts = " ".join([*few.queries.values(), *few.documents.values()]).lower()
    words = tokenizer(dict.fromkeys(re.findall("[a-z]+", texts)))
    words.model_max_length = 512
    for part in (encoder_decoder(vocab_size=len(words)), words):
        part.save_pretrained(tmp_path / "monot5-tiny")
    model = load(tmp_path / "monot5-tiny")
    question = Question(
        "monot5-tiny", few.name, pairs=2, scored=7, tokens=100, signals=("TFC1", "STMC1")
    )
    findings = Findings.create(
        tmp_path / "run", question.config, provenance=provenance(few, model=model)
    )
    measure(question, model, few, findings)
    effects = findings.read("effects")
    assert {"1.z[head=3]", "0.mlp_out[pos=D+]"} <= {*effects["unit"]}
    assert effects["recovered"].notna().any()
    # random weights have no circuit, and the report says why
    assert findings.meta["no_circuit"].startswith("the score does not rise with an exact match")
    html = page(findings)
    assert "TFC1" in html
    template = "Query: {query} Document: {document} Relevant:</s>"
    assert findings.meta["model"]["template"] == template
    assert "stand in the template" in html and "are cut (the document alone)" in html


def test_a_query_that_is_too_long_for_its_template_ends_no_report(tmp_path):
    """One leaves no space at all and is left out; another none in short pairs, and is ranked."""
    few = collection("embedded").sample(7, 4)
    first, second, *_ = few.queries
    changed = {first: f"{few.queries[first]} " * 40, second: f"{few.queries[second]} " * 12}
    few = replace(few, queries={**few.queries, **changed})
    texts = " ".join([*few.queries.values(), *few.documents.values()]).lower()
    words = tokenizer(dict.fromkeys(re.findall("[a-z]+", texts)))
    words.model_max_length = 150
    model = load(
        encoder_decoder(vocab_size=len(words)), words, template=MONO, relevant=("true", "false")
    )
    n = {qid: len(words(few.queries[qid])["input_ids"]) for qid in (first, second)}
    assert n[first] > 150 and 60 < n[second] < 120, n
    question = Question(
        "tiny", few.name, pairs=2, scored=5, tokens=40, signals=("TFC1",), circuit=False
    )
    findings = Findings.create(
        tmp_path / "run", question.config, provenance=provenance(few, model=model)
    )
    measure(question, model, few, findings)
    left_out = findings.meta["unreadable"]
    assert left_out[f"query {first}"].startswith("is so long that the model has no token left")
    assert left_out[f"query {second}"].startswith("is too long for contrasts in pairs of 40 tokens")
    ranked = set(findings.read("ranking")["qid"])
    assert first not in ranked and second in ranked
    assert f"query {first} is so long" in page(findings)
