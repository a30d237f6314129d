"""Texts that a model cannot read are left out and named; the others are as they were."""

from dataclasses import replace

import pytest
from ir_measures import Qrel
from language_models import language_model, tokenizer
from lightning_ir_checkpoints import encoder as lightning_ir_encoder, linear, write

from crosslens import Collection, CrossEncoder, load, NotMeasurable
from crosslens.contrasts import Shortened
from crosslens.corpora import Readable, readable
from crosslens.corpora.readable import named_few, NO_SPACE, NO_TEXT, NO_TOKEN, NOT_KEPT


INVISIBLE = "\u200b\u200e\u200b"
TEXTS = Collection(
    "small",
    {"q1": "cats purr", "q2": INVISIBLE},
    {"d1": "the cats rest", "d2": INVISIBLE, "d3": "a car"},
    (Qrel("q1", "d1", 1), Qrel("q1", "d2", 0), Qrel("q2", "d3", 1)),
    {"q1": ("d1", "d2"), "q2": ("d3",)},
    types={"d1": "full", "d2": "empty"},
)


@pytest.fixture(scope="module")
def model() -> CrossEncoder:
    """With a tokenizer that drops what cannot be seen, as BERT's own does."""
    return load("planted:bm25")


def test_what_holds_no_token_is_left_out_with_all_that_refers_to_it(model):
    found = readable(model, TEXTS)
    assert isinstance(found, Readable)
    assert found.left_out == {"query q2": NO_TOKEN, "document d2": NO_TOKEN}
    assert set(found.collection.queries) == {"q1"} and "d2" not in found.collection.documents
    assert found.collection.candidates == {"q1": ("d1",)}
    assert found.collection.qrels == TEXTS.qrels[:1]
    assert found.collection.without_text == TEXTS.qrels[1:2], "the ideal ranking holds it"
    assert found.collection.types == {"d1": "full"}


def test_half_of_a_character_is_left_out(model):
    texts = replace(
        TEXTS,
        queries={"q1": "cats purr", "q2": "why \ud83d"},
        documents=TEXTS.documents | {"d2": "\ude00", "d3": "a car \ud83d"},
    )
    found = readable(model, texts)
    assert found.left_out == dict.fromkeys(("query q2", "document d2", "document d3"), NO_TEXT)
    assert found.collection.candidates == {"q1": ("d1",)}


def test_a_readable_collection_is_the_same_one(model):
    fine = replace(TEXTS, candidates={"q1": ("d1",)}, qrels=())
    assert readable(model, fine).collection is fine, (
        "texts that are neither ranked nor judged are not read"
    )


def test_a_query_that_leaves_no_space_is_left_out_where_only_documents_are_cut(model, monkeypatch):
    texts = replace(
        TEXTS,
        queries={"q1": "cats purr", "q2": "cats " * 600},
        candidates={"q1": ("d1",), "q2": ("d3",)},
        qrels=(),
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


def test_what_is_judged_and_not_ranked_is_read_too(model):
    texts = replace(TEXTS, candidates={"q1": ("d1",)})
    assert readable(model, texts).left_out == {"query q2": NO_TOKEN, "document d2": NO_TOKEN}


def test_documents_stay_where_they_are_when_a_query_is_left_out(model):
    texts = replace(TEXTS, candidates={"q1": ("d1",), "q2": ("d3",)}, qrels=())
    found = readable(model, texts)
    assert found.left_out == {"query q2": NO_TOKEN}
    assert found.collection.documents is texts.documents, "a large collection is not copied"


def test_a_text_that_lightning_ir_reads_in_other_tokens_is_left_out(tmp_path):
    encoder, tokenizer = lightning_ir_encoder("roberta")
    n = len(tokenizer.encode("catsé", add_special_tokens=False)) - 1  # of two bytes, the first
    folder = write(tmp_path, encoder, tokenizer, linear(24), query_length=n)
    texts = replace(
        TEXTS,
        queries={"q1": "cats purr", "q2": "catsé purr"},
        documents={"d1": "the cats rest", "d3": "a car"},
        candidates={"q1": ("d1",), "q2": ("d3",)},
        qrels=(),
        types={},
    )
    model = load(folder)
    assert readable(model, texts).left_out == {"query q2": NOT_KEPT}
    model.pairs(["cats purr"], ["a car"])
    with pytest.raises(ValueError, match="read otherwise than it is written"):
        model.pairs(["catsé purr"], ["a car"])


def test_the_first_three_are_named_and_the_others_counted():
    few = {f"query q{i}": "is long" for i in range(3)}
    assert named_few(few) == "query q0 is long; query q1 is long; query q2 is long"
    assert named_few(few | {"document d": "is empty", "document e": "is"}).endswith("; and 2 more")
