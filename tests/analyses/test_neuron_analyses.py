"""The studies of relevance neurons, on tiny models and collections: tables, omissions, resuming."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from crosslens.analyses import (
    neuron_ablation,
    neuron_agreement,
    neuron_baseline,
    neuron_layers,
    neuron_overlap,
    neuron_words,
)
from crosslens.analyses.neuron_flows import (
    agreeing_pairs,
    enough,
    flows,
    for_attribution,
    pairs_of,
    shares,
    studied,
)
from crosslens.analyses.running import Given
from ir_measures import Qrel
from tiny import tiny, WORDS

from crosslens import Collection, CrossEncoder, Findings, Hook, load, NotMeasurable, plant
from crosslens.corpora.reading import embedded
from crosslens.neurons import Neurons


def collection_of(name: str, seed: int, *, negatives: bool = True) -> Collection:
    """Random texts, a relevant and, if so, another document for each of many queries."""
    draw = np.random.default_rng(seed)
    text = lambda n: " ".join(draw.choice(WORDS, n))  # noqa: E731
    queries = {f"{name}{i}": text(4) for i in range(10)}
    documents = {f"{name}{i}": text(int(draw.integers(5, 9))) for i in range(24)}
    docids = list(documents)
    qrels = []
    for qid in queries:
        for label, docid in enumerate(draw.choice(docids, 4, replace=False)):
            if negatives or label % 2:
                qrels.append(Qrel(qid, str(docid), label % 2))
    candidates = {qid: tuple(docids[:6]) for qid in queries}
    return Collection(name, queries, documents, tuple(qrels), candidates)


def given(
    analysis, folder: Path, model: CrossEncoder, *texts: Collection, paper=None, **options
) -> Given:
    """What the frame gives an analysis, at sizes for a test."""
    fast = {"steps": 4, "shares": "5, 10"}
    known = analysis.Options._fields
    fast = {name: value for name, value in fast.items() if name in known}
    chosen = analysis.Options(**{**fast, **options})
    run = Findings.create(folder, {"analysis": analysis.__name__}, resume=True)
    return Given(model, texts, 8, 0, chosen, run, lambda *_: None, paper)


THREE = (collection_of("a", 0), collection_of("b", 1), collection_of("c", 2))


@pytest.fixture(scope="module")
def model() -> CrossEncoder:
    return load(*tiny("bert"))


@pytest.fixture(scope="module")
def at(model: CrossEncoder) -> float:
    """The threshold that half of the scores exceed: a random model prefers one class."""
    scores = [
        model.score(texts.queries[qid], [texts.documents[d] for d in docs]).median()
        for texts in THREE
        for qid, docs in texts.candidates.items()
    ]
    return float(torch.stack(scores).median())


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Findings:
    """The run of a paper, in which flows are computed once for all tests."""
    return Findings.create(tmp_path_factory.mktemp("paper"), {"paper": "vast2024"})


def test_the_baseline_nearest_to_neutral_is_named_and_the_texts_stand_beside(model, tmp_path):
    answer = neuron_baseline.analyse(given(neuron_baseline, tmp_path, model, *THREE[:2]))
    table = answer.baselines
    assert len(table) == 2 * 9 and table.groupby("collection")["is_nearest"].sum().eq(1).all()
    assert not table[table["is_nearest"]]["input"].eq(neuron_baseline.ORIGINAL).any()
    for _, some in table.groupby("collection"):
        known = some[some["input"] != neuron_baseline.ORIGINAL]
        nearest = known.loc[known["preference"].abs().idxmin(), "input"]
        assert some[some["is_nearest"]]["input"].tolist() == [nearest]
    assert (table["low"] <= table["preference"]).all() and not table.isna().any().any()
    with pytest.raises(NotMeasurable, match="no candidates"):
        bare = Collection("x", {"q": "cats"}, {"d": "cats"})
        neuron_baseline.analyse(given(neuron_baseline, tmp_path / "x", model, bare))


def test_overlaps_stand_beside_chance_and_the_halves_of_one_collection(model, tmp_path, at, shared):
    answer = neuron_overlap.analyse(
        given(neuron_overlap, tmp_path, model, *THREE, threshold=at, paper=shared)
    )
    assert set(answer.pairs["collection"]) == {"a", "b", "c"}
    assert (answer.pairs["agreeing"] <= answer.pairs["drawn"]).all()
    assert answer.pairs["agreeing"].sum() < answer.pairs["drawn"].sum()
    every = answer.collections
    assert set(every["group"]) == {neuron_overlap.FIRST, neuron_overlap.OUTSIDE}
    assert (every["p_fdr"] >= every["p"]).all()
    assert every["chance"].to_numpy() == pytest.approx(every["share"].to_numpy(), rel=0.1)
    cores = answer.cores.set_index(["class", "share", "collections"])
    assert (cores["overlap"] <= 1).all() and (cores["expected"] > 0).all()
    assert len(answer.overlaps) == 2 * 2 * 3 and not answer.overlaps.isna().any().any()
    assert not answer.classes.isna().any().any()


def test_a_collection_without_negatives_has_part_in_p_alone(model, tmp_path, at, shared):
    texts = (*THREE[:2], collection_of("d", 3, negatives=False))
    asked = given(neuron_overlap, tmp_path, model, *texts, threshold=at, paper=shared)
    answer = neuron_overlap.analyse(asked)
    why = answer.omitted.set_index("what")["why"]
    assert "no other pair" in why["N d"]
    table = answer.collections
    assert "d" in set(table[table["class"] == "P"]["other"])
    assert "d" not in set(table[table["class"] == "N"]["other"])


def test_without_a_class_in_any_collection_there_is_nothing_to_measure(model, tmp_path):
    with pytest.raises(NotMeasurable, match=r"at a threshold of 1000.*P a: no relevant pair"):
        few = given(neuron_overlap, tmp_path, model, collection_of("a", 0, negatives=False),
                    threshold=1000.0)  # fmt: skip
        neuron_overlap.analyse(few)


def test_layers_and_components_add_up_to_the_scheme(model, tmp_path, at, shared):
    asked = given(neuron_layers, tmp_path, model, *THREE, threshold=at, paper=shared)
    answer = neuron_layers.analyse(asked)
    n = round(0.1 * len(Neurons.of(model, model.pair("cats", "cats"))))
    own = answer.layers[(answer.layers["scheme"] == "N a") & (answer.layers["share"] == 0.1)]
    assert own["n"].sum() == n and own["part"].sum() == pytest.approx(1)
    assert own["expected"].sum() == pytest.approx(n)
    assert {"low", "high"} <= set(own) and (own["low"] <= own["high"]).all()
    for table in (answer.components, answer.counts):
        some = table[(table["scheme"] == "N a") & (table["share"] == 0.1)]
        assert some["n"].sum() == n
    named = answer.neurons[(answer.neurons["scheme"] == "N a") & (answer.neurons["share"] == 0.1)]
    assert named["neuron"].is_unique and len(named) == n


def test_rankings_lose_what_the_sets_carry_and_nothing_is_computed_twice(
    model, tmp_path, monkeypatch, at, shared
):
    few = {
        "queries": 3,
        "others": 3,
        "controls": 2,
        "threshold": at,
        "paper": shared,
        "ranked_only": "c",
    }
    asked = given(neuron_ablation, tmp_path, model, *THREE, **few)
    answer = neuron_ablation.analyse(asked)
    table = answer.ablation
    assert set(table["collection"]) == {"a", "b", "c"} and "c" not in set(
        answer.pairs["collection"]
    )
    assert table["queries"].eq(3).all() and table["draws"].eq(2).all()
    assert (table["low"] <= table["change"]).all() and (table["change"] <= table["high"]).all()
    mean = answer.queries.groupby(["collection", "scheme", "share"])["silenced"].mean()
    for row in table.itertuples():
        assert mean[row.collection, row.scheme, row.share] == pytest.approx(row.silenced)
    held_out = answer.queries[answer.queries["collection"] == "a"]["qid"]
    assert not any(for_attribution(qid, 0) for qid in held_out)
    assert (tmp_path / "schemes" / "10-0.safetensors").is_file()
    monkeypatch.setattr(neuron_ablation, "silenced_scores", None)  # what is kept is read
    again = neuron_ablation.analyse(given(neuron_ablation, tmp_path, model, *THREE, **few))
    pd.testing.assert_frame_equal(again.schemes, answer.schemes)
    with pytest.raises(LookupError, match="no collection is called 'z'; there are a, b, c"):
        neuron_ablation.analyse(
            given(neuron_ablation, tmp_path, model, *THREE, ranked_only="z", threshold=at)
        )


def test_a_collection_without_judgements_is_an_omission_of_the_rankings(
    model, tmp_path, at, shared
):
    bare = Collection("bare", THREE[0].queries, THREE[0].documents)
    few = {"queries": 3, "others": 3, "controls": 1, "threshold": at, "paper": shared}
    asked = given(neuron_ablation, tmp_path, model, *THREE[:2], bare, **few)
    answer = neuron_ablation.analyse(asked)
    why = answer.omitted.set_index("what")["why"]
    assert "judged relevant" in why["rankings of bare"] and "no relevant pair" in why["P bare"]
    assert "bare" not in set(answer.ablation["collection"])


def test_figures_of_one_paper_share_their_flows(model, tmp_path, monkeypatch, at):
    whole = Findings.create(tmp_path / "paper", {"paper": "vast2024"})
    first = given(neuron_overlap, whole.folder / "one", model, *THREE, paper=whole, threshold=at)
    other = given(neuron_layers, whole.folder / "two", model, *THREE, paper=whole, threshold=at)
    one = flows(first)
    monkeypatch.setattr("crosslens.analyses.neuron_flows.neuron_flow", None)
    assert np.allclose(flows(other).flows[0].mean("P"), one.flows[0].mean("P"))
    more = given(
        neuron_layers, whole.folder / "three", model, *THREE, paper=whole, threshold=at, steps=5
    )
    with pytest.raises(TypeError):  # other options: they are computed anew
        flows(more)


def test_pairs_are_kept_where_prediction_and_judgement_agree(tmp_path):
    model = load(plant("bm25"))
    texts = embedded()
    asked = given(neuron_overlap, tmp_path, model, texts, threshold=5.0)
    kept = agreeing_pairs(asked, texts)
    scored = asked.run.read("scores")
    agrees = (scored["score"] > 5) == scored["is_relevant"]
    assert len(kept.rows) == agrees.sum() and 0 < agrees.sum() < len(scored)
    assert kept.counts["agreeing"].sum() == len(kept.rows)
    parts = [part for kind in (True, False) for half in (0, 1) for part in kept.parts(kind, half)]
    assert sorted(pd.concat(parts).index) == list(kept.rows.index)


def test_a_collection_with_fields_is_studied_field_by_field():
    parts = studied([embedded()])
    assert len(parts) == 6 and all(len(part.queries) == 8 for part in parts)
    assert sum(len(part.qrels) for part in parts) == len(embedded().qrels)
    assert studied(THREE) == list(THREE)
    with pytest.raises(ValueError, match="the same name: a, a"):
        studied([THREE[0], THREE[0]])


def test_shares_are_per_cents_of_one_neuron_or_more(model):
    assert shares("0.01, 1") == pytest.approx([0.0001, 0.01])
    for wrong, message in (("x", "no share in per cent"), ("0", "above 0"), ("101", "above 0")):
        with pytest.raises(ValueError, match=message):
            shares(wrong)
    neurons = Neurons.of(model, model.pair("cats", "cats"))
    kept, left = enough([0.0001, 0.1], neurons)
    assert kept == [0.1] and left["why"].tolist() == [f"less than one of {len(neurons)} neurons"]
    with pytest.raises(NotMeasurable, match="less than one neuron"):
        enough([0.0001], neurons)


# --- beyond the paper ---------------------------------------------------------------------------


def test_flow_and_exact_ablation_are_compared_beside_ceiling_and_control(
    model, tmp_path, monkeypatch, at
):
    few = {"neurons": 6, "threshold": at, "top": 20}
    asked = replace(given(neuron_agreement, tmp_path, model, *THREE[:1], **few), pairs=40)
    answer = neuron_agreement.analyse(asked)
    table = answer.agreement
    assert set(table["layer"]) == {"all", "0", "1", "2"} and set(table["compared"]) == {
        neuron_agreement.FLOW,
        neuron_agreement.SIZES,
        neuron_agreement.HALVES,
        neuron_agreement.SHUFFLED,
    }
    every = table[table["layer"] == "all"]
    assert every["neurons"].eq(18).all() and every["k"].eq(4).all()
    assert (table["p_fdr"] >= table["p"]).all() and table["spearman"].abs().max() <= 1
    # the exact fall is what silencing the neuron does to the score of the class
    kind = answer.neurons["class"].iloc[0]
    row = answer.neurons[answer.neurons["class"] == kind].iloc[3]
    texts, rows = THREE[0], agreeing_pairs(asked, THREE[0]).rows
    rows = rows[rows["is_relevant"] == (kind == "P")]
    pairs = pairs_of(model, texts, rows, asked.options.tokens)
    unit = next(
        u for u in Neurons.of(model, pairs).units(range(len(Neurons.of(model, pairs))))
        if str(u) == row["neuron"]
    )  # fmt: skip
    with torch.no_grad():
        whole = model(pairs)
        with model.hooked(Hook(unit, torch.zeros_like)):
            fall = (whole - model(pairs)).mean()
    assert row["fall"] == pytest.approx(float(fall) * (1 if kind == "P" else -1), abs=1e-5)
    monkeypatch.setattr(neuron_agreement, "single_ablation", None)  # what is kept is read
    again = neuron_agreement.analyse(asked)
    pd.testing.assert_frame_equal(again.agreement, table)
    with pytest.raises(ValueError, match="two neurons of a layer"):
        wrong = given(neuron_agreement, tmp_path / "x", model, THREE[0], neurons=1)
        neuron_agreement.analyse(wrong)


def test_two_rankings_that_are_one_agree_and_a_dead_layer_has_no_agreement():
    draw = np.random.default_rng(0)
    one = draw.normal(size=(8, 40)) + 5 * draw.normal(size=40)
    same = neuron_agreement.compared(one, 2 * one, 4, draw, are_same=True)
    assert same["spearman"] == pytest.approx(1) and same["precision"] == 1
    assert same["low"] == pytest.approx(1) and same["p"] < 1e-6
    reverse = neuron_agreement.compared(one, -one, 4, draw, are_same=True)
    assert reverse["spearman"] == pytest.approx(-1) and reverse["precision"] == 0
    sizes = neuron_agreement.compared(one, -one, 4, draw, np.abs, are_same=True)
    assert sizes["spearman"] == pytest.approx(1)
    other = neuron_agreement.compared(one, draw.normal(size=(8, 40)), 4, draw, are_same=False)
    assert abs(other["spearman"]) < 0.5 and other["chance"] == 0.1
    dead = neuron_agreement.compared(one, np.zeros((8, 40)), 4, draw, are_same=True)
    assert dead["spearman"] is None and dead["precision"] is None and dead["k"] == 4


def test_falls_of_the_probability_are_those_of_the_class():
    whole, falls = np.array([2.0, -1.0]), np.array([[1.0, 0.5]])
    p = lambda score: 1 / (1 + np.exp(-score))  # noqa: E731
    expected = p(whole) - p(whole - falls)
    assert neuron_agreement.falls_of("probability", True, whole, falls) == pytest.approx(expected)
    assert neuron_agreement.falls_of("probability", False, whole, falls) == pytest.approx(-expected)
    assert (neuron_agreement.falls_of("score", False, whole, falls) == -falls).all()


def test_neurons_are_described_by_words_pairs_and_judgements(model, tmp_path, at, shared):
    few = {"top": 3, "words": 2, "threshold": at, "paper": shared}
    answer = neuron_words.analyse(given(neuron_words, tmp_path, model, *THREE[:2], **few))
    table = answer.neurons
    assert table.groupby("class")["rank"].apply(list).tolist() == [[1, 2, 3], [1, 2, 3]]
    assert all(some.is_monotonic_decreasing for _, some in table.groupby("class")["flow"])
    assert (
        set(answer.words["neuron"]) == set(table["neuron"])
        and (answer.words["occurrences"] >= 2).all()
    )
    assert answer.words.groupby("neuron").size().max() <= 2
    assert table["by_shuffled"].abs().max() < 0.3 and table["auroc"].between(0, 1).all()
    assert table["place"].between(0, 1).all() and not table.isna().any().any()


def test_words_explain_what_depends_on_the_word_and_nothing_that_does_not():
    draw = np.random.default_rng(0)
    words = draw.integers(0, 20, 400)
    assert neuron_words.explained(words.astype(float), words) == pytest.approx(1)
    assert abs(neuron_words.explained(draw.normal(size=400), words)) < 0.1
    assert neuron_words.explained(np.ones(400), words) is None
    assert neuron_words.explained(draw.normal(size=3), np.arange(3)) is None
