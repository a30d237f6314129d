"""Explanations against plain rescoring, the original model, and planted truth."""

import json
import math
from dataclasses import replace
from itertools import combinations

import pytest
import torch
from language_models import language_model, tokenizer

from crosslens import CrossEncoder, explain, Explanation, load, plant
from crosslens.explanation.edited_texts import text_without, words_in
from crosslens.explanation.text_scores import TextScores
from crosslens.explanation.word_effects import word_effects
from crosslens.exploration import Answers
from crosslens.pairs import Segment


QUERY = "canoe paddle lake"
PASSAGES = (
    "grass is green",
    "a canoe needs a paddle near the river bank",
    "the bus and the canoe need a road",
)
HOSTILE = '<script>alert("x")</script> [/red] {{ 7 * 7 }} canoe & paddle'


def score(model: CrossEncoder, query: str, text: str) -> float:
    with torch.no_grad():
        return model(model.pair(query, text)).item()


@pytest.fixture(scope="module")
def embedded() -> CrossEncoder:
    return load()


@pytest.fixture(scope="module")
def bm25() -> CrossEncoder:
    return load(plant("bm25"))


@pytest.fixture(scope="module")
def apples(embedded) -> Explanation:
    return explain(
        embedded,
        "store apples over winter",
        "Winter is cold; don't go out.",
        "Store apples in a fridge, or over winter in boxes.",
        "Apples keep through the winter in a cool cellar.",
    )


def test_effects_of_words_are_those_of_the_edited_text(embedded, apples):
    query = apples.query
    for passage in apples.passages[:2]:
        assert passage.score == pytest.approx(score(embedded, query, passage.text), abs=1e-5)
        for word in passage.details.words.itertuples():
            texts = {"query": query, "document": passage.text}
            text = texts[word.segment]
            assert text[word.start : word.end] == word.text
            texts[word.segment] = text_without(text, [(word.start, word.end)])
            rest = score(embedded, texts["query"], texts["document"])
            assert word.effect == pytest.approx(passage.score - rest, abs=1e-4)
    assert apples.passages[2].details is None  # two are taken apart unless one asks for more


def test_turned_orders_hold_in_the_original_model(apples):
    """The two changes are checked by a plain forward of the Hugging Face model."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from crosslens.default.weights import embedded_reranker

    tokenizer = AutoTokenizer.from_pretrained(embedded_reranker())
    original = AutoModelForSequenceClassification.from_pretrained(
        embedded_reranker(), dtype=torch.float32
    ).eval()

    def plain(text: str) -> float:
        with torch.no_grad():
            return original(**tokenizer(apples.query, text, return_tensors="pt")).logits.item()

    first, second = (passage.text for passage in apples.passages[:2])
    removed, added = apples.turns
    assert removed.kind == "remove" and removed.is_found and added.is_found
    assert plain(first) > plain(second)
    assert plain(removed.text) < plain(second)
    assert plain(added.text) > plain(first)
    assert removed.after == pytest.approx(plain(removed.text), abs=1e-4)
    assert set(removed.words) <= set(first.replace(",", " ").replace(".", " ").split())
    assert second in added.text


@pytest.mark.parametrize("seed", [2, 3, 7])
def test_planted_heads_carry_the_matches_and_their_layer_decides(seed):
    planted = plant(f"planted:bm25?seed={seed}&decoys=4")
    model = load(planted)
    found = explain(model, QUERY, *PASSAGES)
    assert [passage.given for passage in found.passages] == [1, 2, 0]
    layer, index = planted.placement.matching
    details = found.passages[0].details
    assert set(details.terms["term"]) == {"canoe", "paddle"}
    assert details.heads["head"][0] == f"{layer}.{index}"
    assert details.heads["effect"][0] == pytest.approx(details.matched, rel=1e-2)
    assert details.heads["effect"][1:].abs().max() < 1e-2  # decoys attend to matches, unread
    assert details.deciding_layer == layer
    assert details.layers["step"].sum() == pytest.approx(found.passages[0].score, abs=1e-3)
    apart = found.apart.set_index("text")["difference"]
    assert apart.idxmax() == "paddle" and apart["paddle"] > 10 * apart["lake"]


def test_the_fewest_words_are_the_fewest(bm25):
    """Every smaller set is tried by hand: none turns the order."""
    found = explain(bm25, QUERY, *PASSAGES)
    removed = found.turns[0]
    first, second = found.passages[:2]
    assert removed.is_fewest and sorted(removed.words) == ["canoe", "paddle"]
    words = words_in(bm25.pair(QUERY, first.text), 0, Segment.DOCUMENT)
    for size in range(1, len(removed.words)):
        for chosen in combinations(words, size):
            text = text_without(first.text, [(word.start, word.end) for word in chosen])
            assert score(bm25, QUERY, text) > second.score - 1e-4


def test_a_budget_too_small_is_said_and_found_nothing(bm25):
    found = explain(bm25, QUERY, *PASSAGES, budget=1)
    assert not any(turn.is_found for turn in found.turns)
    assert found.turns[0].text == found.passages[0].text
    assert "No change of order was found" in str(found)


def test_without_a_match_nothing_is_carried(bm25):
    found = explain(bm25, "canoe", "grass is green")
    details = found.passages[0].details
    assert details.terms.empty and details.heads.empty and details.matched == 0
    assert found.turns == () and found.apart is None and math.isnan(found.gap)
    assert "No word of the query is matched" in str(found)
    assert "No word of the query is matched" in found.html()


def test_every_family_is_explained(any_model):
    """Random weights: what is written must be finite and exact, whatever it says."""
    found = explain(any_model, "why do cats purr", "cats purr when they rest", "the car is red")
    first, second = found.passages
    assert first.score >= second.score
    assert first.details.layers["without"].iloc[0] + first.details.layers[
        "step"
    ].sum() == pytest.approx(first.score, abs=1e-4)
    assert json.loads(found.json())["passages"][0]["score"] == first.score


def test_json_and_html_are_written_whole_and_hold_what_was_found(apples, tmp_path):
    apples.json(tmp_path / "e.json")
    apples.html(tmp_path / "e.html")
    read = json.loads((tmp_path / "e.json").read_text())
    assert read["query"] == apples.query and read["turns"][0]["is_found"]
    assert read["passages"][0]["details"]["words"][0]["effect"] is not None
    page = (tmp_path / "e.html").read_text()
    assert page.startswith("<!DOCTYPE html>") and "http" not in page
    assert "<del>" in page and "<ins>" in page
    assert "What separates the first two" in str(apples) and "iframe" in apples._repr_html_()


def test_hostile_texts_are_shown_never_run(bm25):
    found = explain(bm25, f"canoe {HOSTILE}", HOSTILE, "a paddle [/x] <b>road</b>")
    page = found.html()
    assert "<script" not in page and "<b>road" not in page and "49" not in page.split("</style>")[1]
    assert "[/red]" in str(found)


def test_passages_that_are_given_twice_or_cut_are_said():
    short = load("planted:bm25", max_length=24)
    long = "a canoe needs a paddle. " * 8
    found = explain(short, "canoe paddle", long, "a canoe", "a canoe", details=1)
    assert len(found.passages) == 2 and found.passages[1].details is None
    assert any("number 3 as given" in note for note in found.notes)
    assert any("longer than the model reads" in note for note in found.notes)


def test_of_a_long_passage_the_strongest_words_are_deleted(model):
    pairs = model.pair("why do cats purr", "cats purr when they rest in the town of the car")
    few = word_effects(TextScores(model), pairs, most=3).words
    every = word_effects(TextScores(model), pairs).words
    own = few["segment"] == "document"
    assert few["effect"][own].notna().sum() == 3 and few["effect"][~own].notna().all()
    kept = few["effect"].notna()
    assert few["effect"][kept].tolist() == pytest.approx(every["effect"][kept].tolist(), abs=1e-6)
    size = every["integrated_gradients"].abs()
    assert size[own & kept].min() >= size[own & ~kept].max()


def test_equal_scores_have_no_order_to_turn(bm25):
    found = explain(bm25, "canoe", "grass is green", "green is grass")
    assert found.turns == () and any("same score" in note for note in found.notes)


def test_an_activation_has_a_column_if_it_changes_the_score(bm25):
    found = explain(bm25, "canoe", "a canoe", details=0)
    for activation, is_shown in (("Sigmoid", True), ("Identity", False)):
        assert (activation in str(replace(found, activation=activation))) is is_shown


@pytest.mark.parametrize(
    ("query", "passages", "options", "says"),
    [
        ("", ["a"], {}, "empty query"),
        ("a", ["b", "b", " "], {}, "passage 3 as given is empty"),
        ("a", [], {}, "no passage"),
        ("a", ["b"], {"details": -1}, "details=-1"),
        ("a", ["b"], {"budget": 0}, "budget=0"),
    ],
)
def test_what_cannot_be_explained_is_refused(model, query, passages, options, says):
    with pytest.raises(ValueError, match=says):
        explain(model, query, *passages, **options)


@pytest.mark.parametrize(
    ("text", "spans", "left"),
    [
        ("a b c", [(2, 3)], "a c"),
        ("a b c", [(0, 1), (4, 5)], "b"),
        ("don't", [(3, 4)], "don t"),
        ("one, two.", [(3, 4)], "one two."),
        ("one", [(0, 3)], ""),
    ],
)
def test_a_gap_leaves_one_space(text, spans, left):
    assert text_without(text, spans) == left


def test_a_language_model_under_a_template_is_explained_and_explored():
    """Words of the query and the document only; the template's tokens are nobody's words."""
    original, own = language_model("qwen3"), tokenizer()
    model = load(original, own, template="Query: {query} Passage: {document}", relevant="yes")
    found = explain(model, "why do cats purr", "cats purr when they rest", "the car is red")
    details = found.passages[0].details
    assert set(details.words["segment"]) == {"query", "document"}
    for word in details.words.itertuples():
        texts = {"query": found.query, "document": found.passages[0].text}
        texts[word.segment] = text_without(texts[word.segment], [(word.start, word.end)])
        rest = score(model, texts["query"], texts["document"])
        assert word.effect == pytest.approx(found.passages[0].score - rest, abs=1e-4)
    state = {"query": found.query, "passages": [found.passages[0].text]}
    assert Answers(model)("scores", state)["plain"][0] == pytest.approx(found.passages[0].score)
    seen = Answers(model)("attention", {**state, "passage": 0, "layer": 1})
    assert {"template", "query", "document"} <= {token["segment"] for token in seen["tokens"]}
