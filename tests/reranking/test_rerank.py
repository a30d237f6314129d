"""Reranking by a model: as sentence-transformers ranks, under interventions, or part by part."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from ir_measures import Qrel
from saved import save
from sentence_transformers import CrossEncoder as SentenceTransformer
from tiny import tiny

from crosslens import Collection, compare, Findings, load, rerank, Run
from crosslens.interventions import named
from crosslens.reranking.parts import Comparison, Parts, SCORE, UNEDITED
from crosslens.reranking.scorer import Scorer


TEXTS = Collection(
    name="cats",
    queries={"q1": "why do cats purr", "q2": "what is the capital of france"},
    documents={
        "d1": "cats purr when they rest",
        "d2": "the engine of a car , and the cats of the town , purr",
        "d3": "paris is the capital and largest city of france",
        "d4": "cats purr when they rest",
        "d5": "dog bark " * 80,
    },
    candidates={"q1": ("d4", "d2", "d1", "d5"), "q2": ("d1", "d3", "d2")},
)


def judged(texts: Collection = TEXTS) -> Collection:
    labels = {("q1", "d1"): 2, ("q1", "d2"): 0, ("q2", "d3"): 2, ("q2", "d1"): 1}
    return replace(texts, qrels=tuple(Qrel(*pair, label) for pair, label in labels.items()))


@pytest.fixture(scope="module", params=["bert", "electra", "modernbert"])
def checkpoint(request, tmp_path_factory) -> str:
    """A folder that both libraries load."""
    return str(save(tmp_path_factory.mktemp("checkpoint"), *tiny(request.param)))


@pytest.mark.parametrize("activation", [None, torch.nn.Identity()])
def test_order_and_scores_are_those_of_sentence_transformers(checkpoint, activation):
    theirs = SentenceTransformer(checkpoint, activation_fn=activation)
    run = rerank(load(theirs), TEXTS)
    for qid, docids in TEXTS.candidates.items():
        ranked = theirs.rank(TEXTS.queries[qid], [TEXTS.documents[docid] for docid in docids])
        order = [docids[each["corpus_id"]] for each in ranked]
        assert [each.doc_id for each in run[qid]] in (order, swapped(order, "d1", "d4"))
        for ours, each in zip(run[qid], ranked, strict=True):
            assert ours.score == pytest.approx(float(each["score"]), abs=1e-5)
    both = {activation is None: {each.score for each in run["q1"]}}
    assert both.get(True) is None or all(0 < score < 1 for score in both[True])


def swapped(order: list[str], one: str, other: str) -> list[str]:
    return [{one: other, other: one}.get(each, each) for each in order]


def test_one_text_under_two_ids_has_one_score(model):
    scores = {each.doc_id: each.score for each in rerank(model, TEXTS)["q1"]}
    assert scores["d1"] == scores["d4"]
    assert len(set(scores.values())) == 3


def test_interventions_act_while_ranking_and_leave_no_trace(model):
    plain = rerank(model, TEXTS)
    lines = ["ablate 2.1 1.0", "mask document->query from layer 1"]
    edited = rerank(model, TEXTS, lines)
    assert edited == rerank(model, TEXTS, map(named, lines))
    hooks = [hook for line in lines for hook in named(line).hooks(model)]
    pairs = model.pair(TEXTS.queries["q2"], *map(TEXTS.documents.get, TEXTS.candidates["q2"]))
    with torch.no_grad(), model.hooked(*hooks):
        expected = model.activation(model(pairs).double())
    found = {each.doc_id: each.score for each in edited["q2"]}
    for docid, score in zip(TEXTS.candidates["q2"], expected.tolist(), strict=True):
        assert found[docid] == pytest.approx(score, abs=1e-6)
    assert rerank(model, TEXTS) == plain != edited


def test_a_function_ranks_as_ever_and_takes_no_interventions(model):
    def length(query, documents):
        return map(len, documents)

    run = rerank(length, TEXTS, name="length")
    assert run.name == "length" and run["q2"][0].doc_id == "d2"
    with pytest.raises(TypeError, match="is a function of texts"):
        rerank(length, TEXTS, ["ablate 2.1"])


@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_ranked_is_refused(model):
    run = rerank(model, TEXTS)
    with pytest.raises(TypeError, match="with_candidates"):
        rerank(model, run)
    with pytest.raises(TypeError, match="a list of lines"):
        rerank(model, TEXTS, "ablate 2.1")
    with pytest.raises(ValueError, match="did you mean ablate"):
        rerank(model, TEXTS, ["ablte 2.1"])
    with pytest.raises(LookupError, match="outside the model"):
        rerank(model, TEXTS, ["ablate 7.1"])
    silent = Collection(
        "odd", {"q": "cats"}, {"a": "cats", "b": "\u200b"}, candidates={"q": ("a", "b")}
    )
    with pytest.raises(ValueError, match="query 'q', document 'b': .*no token"):
        rerank(load("planted:bm25"), silent)


def test_a_nan_is_refused_with_what_made_it(model):
    with pytest.raises(ValueError, match="a score is nan under ablate 1.mlp"):
        with torch.no_grad():
            model.head.out.weight[0, 0] = torch.nan
        rerank(model, TEXTS, ["ablate 1.mlp"])


def test_a_run_gives_the_candidates():
    run = Run.of_frame(rerank(lambda q, d: range(len(d)), TEXTS).frame())
    texts = TEXTS.with_candidates(run, depth=2)
    assert texts.candidates == {"q1": ("d5", "d1"), "q2": ("d2", "d3")}
    assert texts.pool == "a run, at most 2 of each query"
    below = Run.of_frame(run.frame().replace({"d4": "unknown"}))
    assert TEXTS.with_candidates(below, depth=2).candidates == texts.candidates
    rows = run.frame().replace({"d2": "x2", "d3": "x3", "q2": "q9"})
    with pytest.raises(
        ValueError, match="1 queries that it lacks \\('q9'\\) and 2 documents"
    ) as error:
        TEXTS.with_candidates(Run.of_frame(rows))
    assert "'x2', 'x3'" in str(error.value)
    with pytest.raises(ValueError, match="depth of at least 1"):
        TEXTS.with_candidates(run, depth=0)
    with pytest.raises(ValueError, match="nothing to rank"):
        TEXTS.with_candidates({})


def parts(model, texts, lines=("ablate 2.1",)) -> Parts:
    scorers = {
        SCORE: Scorer.of(model, texts.documents.values(), lines),
        UNEDITED: Scorer.of(model, texts.documents.values()),
    }
    return Parts(texts, scorers, given=True)


@pytest.mark.parametrize("at_once", [1, 1_000])
def test_parts_hold_what_one_ranking_holds_and_compare_as_the_whole(
    model, tmp_path, monkeypatch, at_once
):
    monkeypatch.setattr("crosslens.reranking.parts.PAIRS", at_once)
    texts = judged()
    some = parts(model, texts)
    assert len(some.keys()) == (2 if at_once == 1 else 1)
    findings, seen = Findings.create(tmp_path / "run", {}), []
    found = Comparison(some)
    rows = []
    for table in some.tables(findings, lambda *step: seen.append(step)):
        found.add(table)
        rows.append(table[["qid", "docid", "score"]])
    whole, plain = rerank(model, texts, ["ablate 2.1"]), rerank(model, texts)
    assert Run.of_frame(pd.concat(rows)) == whole
    assert seen[0] == ("Reranking", 0, 7) and seen[-1] == ("Reranking", 7, 7)
    assert (found.pairs, found.cut, found.changed) == (7, 1, 7)
    pd.testing.assert_frame_equal(found.measures(), compare(whole, plain, texts))


def test_finished_parts_are_not_scored_again(model, tmp_path, monkeypatch):
    monkeypatch.setattr("crosslens.reranking.parts.PAIRS", 1)
    some = parts(model, TEXTS)
    findings = Findings.create(tmp_path / "run", {})
    tables = some.tables(findings, lambda *_: None)
    next(tables)
    tables.close()  # interrupted in the second part
    scored = []
    plain = Parts.of_query
    monkeypatch.setattr(Parts, "of_query", lambda self, q: scored.append(q) or plain(self, q))
    assert sum(map(len, some.tables(findings, lambda *_: None))) == 7
    assert scored == ["q2"]


def test_nothing_is_measured_where_nothing_is_judged(model, tmp_path):
    some = Parts(TEXTS, {SCORE: Scorer.of(model, TEXTS.documents.values())}, given=False)
    found = Comparison(some)
    for table in some.tables(Findings.create(tmp_path / "run", {}), lambda *_: None):
        found.add(table)
    assert found.measures() is None and some.baseline == ""
