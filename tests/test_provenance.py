"""A run resumes on the same model and texts: every change of either has a digest that differs.

That another process finds the same digests is shown in `test_init.py`, which starts one.
"""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from tiny import tiny

from crosslens import collection, load
from crosslens.plain_data import differences
from crosslens.provenance import provenance


def changed(one, other) -> str:
    return differences(provenance(model=one), provenance(model=other))


def test_the_same_model_has_the_same_digests_and_another_seed_other_weights():
    one, same, other = (load(*tiny("bert", seed)) for seed in (0, 0, 1))
    assert changed(one, same) == "" and changed(one, other) == "weights"


@pytest.mark.parametrize("key", [{"num_attention_heads": 1}, {"hidden_act": "relu"}])
def test_a_changed_config_is_another_architecture(key):
    model, tokenizer = tiny("bert")
    config = deepcopy(model.config)
    for name, value in key.items():
        assert getattr(config, name) != value
        setattr(config, name, value)
    other = type(model)(config)
    other.load_state_dict(model.state_dict())
    assert changed(load(model, tokenizer), load(other.eval(), tokenizer)) == "architecture"


def test_a_changed_tokenizer_is_another_and_one_in_use_is_not():
    model, tokenizer = tiny("bert")
    one = load(model, tokenizer)
    before = provenance(model=one)
    one.score("cats", ["cats purr " * 30])  # truncates and pads
    assert provenance(model=one) == before
    cased = deepcopy(tokenizer)
    cased.add_tokens(["zzz"])
    other = replace(one.tokens, tokenizer=cased)
    one.tokens = other
    assert differences(before, provenance(model=one)) == "tokenizer"


def test_bfloat16_weights_have_a_digest_of_their_own():
    model, tokenizer = tiny("bert")
    half = load(deepcopy(model).to(torch.bfloat16), tokenizer)
    assert "weights" in changed(load(model, tokenizer), half)


def test_every_part_of_a_collection_counts():
    texts = collection()
    one = provenance(texts)
    qid, docid = next(iter(texts.queries)), next(iter(texts.types))
    fewer = {**texts.candidates, qid: texts.candidates[qid][:-1]}
    for kind, other in {
        "queries": replace(texts, queries={**texts.queries, qid: "else"}),
        "document types": replace(texts, types={**texts.types, docid: "else"}),
        "judgements": replace(texts, qrels=texts.qrels[1:]),
        "candidates": replace(texts, candidates=fewer),
        "documents": replace(texts, documents={**texts.documents, docid: "else"}),
    }.items():
        assert differences(one, provenance(other)) == kind
    assert provenance(replace(texts, source="moved")) == one
