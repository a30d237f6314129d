"""A report about an encoder-decoder, from its folder to the page."""

import re

from encoder_decoders import encoder_decoder, tokenizer

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
    assert "TFC1" in page(findings)
