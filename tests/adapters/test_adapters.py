"""Adapters give what the libraries themselves give, and refuse what they do not follow."""

from inspect import signature

import numpy as np
import pandas as pd
import pytest
import torch
from saved import save
from sentence_transformers import CrossEncoder as SentenceTransformer
from tiny import tiny

from crosslens import load
from crosslens.adapters import (
    FrameReranker,
    pyterrier_transformer,
    SentenceTransformersReranker,
    text_ranking,
)
from crosslens.interventions import named


QUERY = "why do cats purr"
DOCUMENTS = [
    "cats purr when they rest",
    "paris is the capital and largest city of france",
    "the engine of a car , and the cats of the town , purr",
    "cats purr when they rest",
]
PAIRS = [[QUERY, document] for document in DOCUMENTS]
EDIT = ["ablate 2.1 1.mlp"]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> SentenceTransformer:
    return SentenceTransformer(str(save(tmp_path_factory.mktemp("checkpoint"), *tiny("bert"))))


@pytest.fixture(scope="module")
def ours(theirs) -> SentenceTransformersReranker:
    return SentenceTransformersReranker(load(theirs))


# --- sentence-transformers --------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_k": 2, "return_documents": True},
        {"batch_size": 1, "activation_fn": torch.nn.Identity(), "show_progress_bar": False},
        {"top_k": 0},
        {"activation_fn": torch.nn.Softmax(dim=-1)},
    ],
    ids=str,
)
def test_rank_is_that_of_sentence_transformers(theirs, ours, options):
    expected = theirs.rank(QUERY, DOCUMENTS, **options)
    found = ours.rank(QUERY, DOCUMENTS, **options)
    assert [{**each, "score": 0} for each in found] == [{**each, "score": 0} for each in expected]
    scores = [each["score"] for each in expected]
    assert [each["score"] for each in found] == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize(
    "options", [{}, {"convert_to_tensor": True}, {"convert_to_numpy": False}], ids=str
)
@pytest.mark.parametrize("inputs", [PAIRS, PAIRS[1], np.array(PAIRS), []], ids=len)
def test_predict_is_that_of_sentence_transformers(theirs, ours, inputs, options):
    expected, found = theirs.predict(inputs, **options), ours.predict(inputs, **options)
    assert type(found) is type(expected)
    assert np.shape(found) == np.shape(expected)
    assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("method", ["rank", "predict"])
def test_arguments_are_those_of_sentence_transformers(method):
    theirs = signature(getattr(SentenceTransformer, method)).parameters
    ours = signature(getattr(SentenceTransformersReranker, method)).parameters
    listed = [name for name in theirs if name != "kwargs"]
    assert list(ours) == listed
    assert [ours[name].default for name in listed] == [theirs[name].default for name in listed]


def test_interventions_act_in_rank(ours):
    model = ours.scorer.model
    edited = SentenceTransformersReranker(model, EDIT).predict(PAIRS)
    with model.hooked(*named(EDIT[0]).hooks(model)):
        expected = torch.sigmoid(model.score(QUERY, DOCUMENTS))
    assert np.allclose(edited, expected, atol=1e-6)
    assert not np.allclose(edited, ours.predict(PAIRS), atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [{"prompt": "x"}, {"prompt_name": "x"}, {"device": "cpu"}, {"pool": {}}, {"chunk_size": 3}],
    ids=str,
)
def test_what_is_not_followed_is_refused_by_name(ours, options):
    [name] = options
    with pytest.raises(ValueError, match=f"{name}=.* is not followed"):
        ours.rank(QUERY, DOCUMENTS, **options)


def test_wrong_inputs_are_refused(ours):
    with pytest.raises(ValueError, match="batch_size is 0"):
        ours.predict(PAIRS, batch_size=0)
    with pytest.raises(ValueError, match="input 1 is .* expected a pair"):
        ours.predict([PAIRS[0], ["alone"]])
    with pytest.raises(ValueError, match="empty document"):
        ours.rank(QUERY, ["cats", " "])
    with pytest.raises(ValueError, match="the model has 2 labels"):
        SentenceTransformersReranker(load(*tiny("bert", num_labels=2)))


# --- PyTerrier --------------------------------------------------------------------------


def frame(**columns) -> pd.DataFrame:
    rows = [("7", QUERY, f"d{i}", text) for i, text in enumerate(DOCUMENTS)]
    rows += [("5", "capital of france", f"d{i}", text) for i, text in enumerate(DOCUMENTS[:2])]
    return pd.DataFrame(rows, columns=["qid", "query", "docno", "text"]).assign(**columns)


def test_a_frame_is_scored_and_ranked_query_by_query(model):
    given = frame(score=-1.0, rank=9, extra=range(6))
    kept = given.copy()
    found = FrameReranker(model, EDIT).transform(given)
    pd.testing.assert_frame_equal(given, kept)
    assert set(found.columns) == set(given.columns) and len(found) == 6
    with model.hooked(*named(EDIT[0]).hooks(model)):
        expected = torch.sigmoid(model.score(QUERY, DOCUMENTS)).tolist()
    scores = dict(zip(found["extra"], found["score"], strict=True))
    assert [scores[i] for i in range(4)] == pytest.approx(expected, abs=1e-6)
    for qid, rows in found.groupby("qid"):
        assert list(rows["rank"]) == list(range(len(rows)))
        assert rows["score"].is_monotonic_decreasing
        assert rows["extra"].isin(given.loc[given["qid"] == qid, "extra"]).all()
    assert scores[0] == scores[3], "one text, one score"


def test_idf_is_counted_in_the_documents_that_are_given(model):
    edit = ["scale idf of 'cats' by 5"]
    words = [word for word in model.tokens.tokenizer.get_vocab() if word.isalpha()]
    texts = [" ".join(words[: 2 * i + 1]) for i in range(len(words) // 2)]
    plain, edited = (FrameReranker(model, lines, idf_of=texts) for lines in ([], edit))
    scores = [each.transform(frame()).sort_index() for each in (plain, edited)]
    assert not np.allclose(scores[0]["score"], scores[1]["score"])
    for make in (FrameReranker, SentenceTransformersReranker):
        with pytest.raises(ValueError, match="give idf_of"):
            make(model, edit)
    with pytest.raises(ValueError, match="give idf_of"):
        text_ranking(model, {"query": QUERY, "texts": DOCUMENTS}, edit)


def test_an_empty_frame_has_the_columns_of_a_ranking(model):
    found = FrameReranker(model).transform(frame().head(0))
    assert found.empty and {"score", "rank"} < set(found.columns)


def test_a_frame_that_is_no_ranking_is_refused(model):
    reranker = FrameReranker(model)
    with pytest.raises(ValueError, match=r"lacks \['text'\].*get_text"):
        reranker.transform(frame().drop(columns="text"))
    with pytest.raises(ValueError, match="query '7' has two texts"):
        reranker.transform(frame(query=list("abcdef")))
    assert repr(FrameReranker(model, EDIT)).endswith(": ablate 2.1 1.mlp)")


def test_pyterrier_takes_it_for_a_transformer(model):
    pt = pytest.importorskip("pyterrier")
    pipe = pyterrier_transformer(model) % 1
    assert isinstance(pipe, pt.Transformer)
    found = pipe(frame())
    assert len(found) == 2
    qrels = pd.DataFrame([("7", "d0", 1)], columns=["qid", "docno", "label"])
    topics = frame()[["qid", "query"]].drop_duplicates()
    first = pt.Transformer.from_df(frame(score=0.0, rank=0))
    table = pt.Experiment([first >> pyterrier_transformer(model)], topics, qrels, ["map"])
    assert len(table) == 1


def test_without_pyterrier_the_error_says_how_to_go_on(model, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyterrier", None)
    with pytest.raises(ImportError, match=r"crosslens\[pyterrier\].*FrameReranker"):
        pyterrier_transformer(model)


# --- text ranking -----------------------------------------------------------------------


def test_a_request_is_answered_best_first(model):
    found = text_ranking(model, {"query": QUERY, "texts": DOCUMENTS, "return_text": True}, EDIT)
    with model.hooked(*named(EDIT[0]).hooks(model)):
        logits = model.score(QUERY, DOCUMENTS)
    scores = torch.sigmoid(logits).tolist()
    assert sorted(each["index"] for each in found) == [0, 1, 2, 3]
    assert [each["score"] for each in found] == sorted((s["score"] for s in found), reverse=True)
    for each in found:
        assert each["text"] == DOCUMENTS[each["index"]]
        assert each["score"] == pytest.approx(scores[each["index"]], abs=1e-6)
    request = {"query": QUERY, "texts": DOCUMENTS, "raw_scores": True}
    raw = {each["index"]: each["score"] for each in text_ranking(model, request, EDIT)}
    assert [raw[i] for i in range(4)] == pytest.approx(logits.tolist(), abs=1e-5)
    assert text_ranking(model, {"query": QUERY, "texts": []}) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"query": None}, "lacks 'query'"),
        ({"truncat": True}, "'truncat' of the request is not followed; did you mean truncate"),
        ({"raw_scores": 1}, "raw_scores is 1, expected true or false"),
        ({"truncate": False, "texts": ["cats " * 200]}, r"texts \[0\] are longer than the 96"),
        ({"texts": ["cats", ""]}, "empty document"),
    ],
)
def test_a_request_that_is_wrong_is_refused(model, change, said):
    request = {"query": QUERY, "texts": DOCUMENTS, **change}
    request = {key: value for key, value in request.items() if value is not None}
    with pytest.raises(ValueError, match=said):
        text_ranking(model, request)
    with pytest.raises(TypeError, match="expected a list"):
        text_ranking(model, {"query": QUERY, "texts": "cats"})
