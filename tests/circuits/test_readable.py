"""Texts that a model cannot read are left out and named; the others are as they were."""

from dataclasses import replace

import pytest
from crosslens.circuits.readable import NO_SPACE, NO_TOKEN, readable
from ir_measures import Qrel
from language_models import language_model, tokenizer

from crosslens import Collection, CrossEncoder, load, NotMeasurable
from crosslens.contrasts import Shortened


INVISIBLE = "\u200b\u200e\u200b"
TEXTS = Collection(
    "small",
    {"q1": "cats purr", "q2": INVISIBLE},
    {"d1": "the cats rest", "d2": INVISIBLE, "d3": "a car"},
    (Qrel("q1", "d1", 1), Qrel("q1", "d2", 0), Qrel("q2", "d3", 1)),
    {"q1": ("d1", "d2"), "q2": ("d3",)},
    types={"d1": "full", "d2": "empty"},
)


@pytest.fixture
def model(evidence) -> CrossEncoder:
    """With a tokenizer that drops what cannot be seen, as BERT's own does."""
    return evidence.model


def test_what_holds_no_token_is_left_out_with_all_that_refers_to_it(model):
    found = readable(model, TEXTS)
    assert found.left_out == {"query q2": NO_TOKEN, "document d2": NO_TOKEN}
    assert set(found.collection.queries) == {"q1"} and "d2" not in found.collection.documents
    assert found.collection.candidates == {"q1": ("d1",)}
    assert found.collection.qrels == TEXTS.qrels[:1]
    assert found.collection.without_text == TEXTS.qrels[1:2], "the ideal ranking holds it"
    assert found.collection.types == {"d1": "full"}


def test_a_readable_collection_is_the_same_one(model):
    fine = replace(TEXTS, candidates={"q1": ("d1",)}, qrels=())
    assert readable(model, fine).collection is fine, "texts that are not ranked are not read"


def test_a_query_that_leaves_no_space_is_left_out_where_only_documents_are_cut(model, monkeypatch):
    texts = replace(
        TEXTS,
        queries={"q1": "cats purr", "q2": "cats " * 600},
        candidates={"q1": ("d1",), "q2": ("d3",)},
    )
    assert not readable(model, texts).left_out, "both are cut"
    monkeypatch.setattr(model, "tokens", replace(model.tokens, truncation="only_second"))
    assert readable(model, texts).left_out == {"query q2": NO_SPACE}


def test_a_query_whose_template_leaves_no_space_is_left_out():
    model = load(
        language_model("qwen3"),
        tokenizer(),
        template="{query} ? {document}",
        relevant="yes",
        max_length=40,
    )
    queries = {"q1": "cats purr", "q2": "cats " * 60}
    texts = replace(TEXTS, queries=queries, candidates={"q1": ("d1",), "q2": ("d3",)})
    assert readable(model, texts).left_out == {"query q2": NO_SPACE}
    shorter = Shortened(model, 1)  # which counts no token of the template
    with pytest.raises(NotMeasurable, match="no query of collection 'small': query q1 too long"):
        readable(shorter, texts, "too long")


def test_a_collection_without_a_readable_query_is_refused_by_name(model):
    texts = replace(TEXTS, queries={"q1": INVISIBLE, "q2": INVISIBLE})
    with pytest.raises(NotMeasurable, match="no query of collection 'small': query q1 holds"):
        readable(model, texts)
