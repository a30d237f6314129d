"""What the page is told: equal to the model's own scores and attention, and code that runs."""

import pytest
import torch

from crosslens import ablate, load, plant, token_mask
from crosslens.exploration import Answers, widget


STATE = {
    "query": "canoe paddle",
    "passages": ["a canoe needs a paddle", "", "the bus needs a canoe"],
    "interventions": [],
}
EDITS = ["ablate 2.1 1.0", "mask document->query from layer 1"]


@pytest.fixture(scope="module")
def model():
    return load(plant("bm25"))


@pytest.fixture
def answers(model):
    return Answers(model)


@torch.no_grad()
def plain(model, *hooks):
    with model.hooked(*hooks):
        return model(model.pair(STATE["query"], STATE["passages"][0], STATE["passages"][2]))


def test_scores_are_the_models_own_with_and_without_edits(model, answers):
    found = answers("scores", STATE)
    assert found["plain"][1] is found["edited"][1] is found["tokens"][1] is None
    assert found["plain"] == found["edited"]
    assert [found["plain"][i] for i in (0, 2)] == pytest.approx(plain(model).tolist(), abs=1e-5)
    edited = answers("scores", {**STATE, "interventions": EDITS})
    hooks = [ablate(model.heads()[4 * 2 + 1]), ablate(model.heads()[4])]
    hooks += [token_mask(layer, dst="query", src="document") for layer in range(1, 4)]
    assert [edited["edited"][i] for i in (0, 2)] == pytest.approx(
        plain(model, *hooks).tolist(), abs=1e-5
    )
    assert edited["plain"] == found["plain"]
    again = answers("scores", STATE)  # kept scores of the edits do not leak into the plain ones
    assert again["edited"] == found["edited"]


def test_attention_is_that_of_the_head_and_of_the_mean(model, answers):
    pairs = model.pair(STATE["query"], STATE["passages"][0])
    with torch.no_grad(), model.record("pattern") as cache:
        model(pairs)
    pattern = cache.layers("pattern")[1, 0]
    asked = {**STATE, "passage": 0, "layer": 1}
    for head, expected in ((2, pattern[2]), (None, pattern.mean(dim=0))):
        found = answers("attention", {**asked, "head": head})
        assert torch.allclose(torch.tensor(found["pattern"]), expected, atol=1e-4)
        assert len(found["tokens"]) == len(found["pattern"])
    texts = "".join(
        (" " if not token["goes_on"] else "") + token["text"]
        for token in found["tokens"]
        if token["segment"] == "query"
    )
    assert texts.split() == STATE["query"].split()


def test_the_code_gives_the_scores_of_the_page(answers, capsys):
    named = Answers(load("planted:bm25"))
    for interventions in ([], EDITS):
        state = {**STATE, "interventions": interventions}
        exec(compile(named("code", state)["code"], "page", "exec"), {})  # what a reader would run
        printed = capsys.readouterr().out
        there = [s for s in named("scores", state)["edited"] if s is not None]
        values = torch.tensor(eval(printed.replace("tensor", "").strip()))
        assert values.tolist() == pytest.approx(there, abs=1e-3)


def test_compare_says_what_a_word_of_the_query_separates(model, answers):
    rows = answers("compare", {**STATE, "first": 0, "second": 2})["words"]
    by_word = {row["word"]: row for row in rows}
    whole, without = (
        model(model.pair(query, STATE["passages"][0])).item() for query in ("canoe paddle", "canoe")
    )
    assert by_word["paddle"]["first"] == pytest.approx(whole - without, abs=1e-5)
    assert by_word["paddle"]["first"] > 10 * abs(by_word["paddle"]["second"])


@pytest.mark.parametrize(
    ("kind", "asked", "says"),
    [
        ("scores", {"interventions": ["ablte 2.1"]}, "ablate"),
        ("scores", {"interventions": ["ablate 9.1"]}, "outside the model"),
        ("scores", {"passages": "text"}, "lists of texts"),
        ("scores", {"query": 3}, "are texts"),
        ("scores", {"passages": ["a"] * 51}, "50 passages"),
        ("attention", {"passage": 7}, "passage 7"),
        ("attention", {"passage": 0, "layer": 99}, "layer 99"),
        ("attention", {"passage": 0, "head": -1}, "head -1"),
        ("compare", {"first": 0, "second": None}, "second None"),
        ("delete", {}, "no question is called 'delete'"),
    ],
)
def test_what_cannot_be_answered_says_why(answers, kind, asked, says):
    with pytest.raises((ValueError, LookupError), match=says):
        answers(kind, {**STATE, **asked})


def test_the_widget_answers_what_the_page_asks(model):
    pytest.importorskip("anywidget")
    made, sent = widget(model), []
    made.send = lambda content, buffers=None: sent.append(content)
    made._handle_custom_msg({"id": "1", "kind": "scores", "asked": STATE}, [])
    made._handle_custom_msg({"id": "2", "kind": "scores", "asked": {"query": 1}}, [])
    assert sent[0]["answer"]["plain"] == Answers(model)("scores", STATE)["plain"]
    assert sent[1]["id"] == "2" and "are texts" in sent[1]["error"]
    assert "export default" in made._esm
