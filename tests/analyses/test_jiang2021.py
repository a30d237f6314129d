"""The analyses of jiang2021 on planted models and small texts, where the answer is known."""

import importlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from crosslens.analyses import (
    bottleneck_layers,
    early_matches,
    important_tokens,
    positions,
    samples,
)
from crosslens.analyses.catalogue import catalogue
from crosslens.analyses.running import answer_into, Given

from crosslens import Collection, CrossEncoder, Findings, load, NotMeasurable
from crosslens.corpora.reading import collection
from crosslens.words import WordAttribution


@pytest.fixture(scope="module")
def planted() -> CrossEncoder:
    return load("planted:bm25?layers=3&heads=3&decoys=1")


@pytest.fixture(scope="module")
def texts() -> Collection:
    return collection("embedded").sample(3, 3)


def ask(
    name: str, model: CrossEncoder, texts: Collection, out: Path, **options: object
) -> Findings:
    """The run of an analysis."""
    analysis = catalogue()[name]
    run = Findings.create(out, {"analysis": name})
    pairs = options.pop("pairs", 2)
    own = analysis.options(**options)
    answer_into(name, Given(model, (texts,), pairs, 0, own, run, lambda *_: None))
    return run


def test_the_order_of_sentences_is_nothing_to_bm25(
    planted: CrossEncoder, texts: Collection, tmp_path: Path
) -> None:
    run = ask("sentence_order", planted, texts, tmp_path / "run", pairs=9, recall=[3])
    rankings = run.read("rankings")
    assert set(rankings["measure"]) == {"P@1", "RR", "RR@10", "R@3"}
    assert (rankings["difference"] == 0).all()
    passages = run.read("passages")
    assert np.allclose(passages["reversed"], passages["original"], atol=1e-3)


def test_where_important_tokens_stand_is_counted_in_four_orders(
    planted: CrossEncoder, texts: Collection, tmp_path: Path
) -> None:
    run = ask("sentence_positions", planted, texts, tmp_path / "run", important=5)
    early = run.read("early").set_index("order")
    assert list(early.index) == ["original", "swapped", "shuffled", "reversed"]
    assert early.notna().all().all()
    assert run.read("positions").groupby("order")["tokens"].sum().max() <= 2 * 5
    # BM25 finds a passage as relevant as before
    assert np.ptp(run.read("probability")["p"]) < 1e-3


def test_important_tokens_at_the_beginning_are_early(planted: CrossEncoder) -> None:
    document = " ".join(["road"] * 40)
    pairs = planted.pair("canoe", document)
    inside = pairs.where("document")[0].nonzero().flatten()
    value = torch.zeros(pairs.token.shape)
    value[0, inside[:4]] = 1.0
    tokens = positions.tokens_of(WordAttribution("x", pairs, value), 4).assign(kind="first")
    (row,) = positions.early(tokens, "kind", 0).itertuples()
    assert (row.important, row.all_tokens, row.more) == (1.0, 0.5, 0.5)
    counts = positions.histogram(tokens, "kind")
    assert counts["tokens"].tolist() == [4, 0, 0, 0]


def test_matched_tokens_count_by_their_place(planted: CrossEncoder) -> None:
    pairs = planted.pair("road car", "a road and a road", "a boat")
    every, nothing = early_matches.matched_token_mrr(pairs)
    assert every == pytest.approx((1 / 2 + 1 / 5) / 2) and np.isnan(nothing)
    assert early_matches.matched_token_mrr(pairs, "first")[0] == pytest.approx(1 / 2)
    assert early_matches.shared(pairs) == pytest.approx([1 / 4, 0])


def test_higher_passages_are_compared_with_the_relevant_one_below_them() -> None:
    passages = pd.DataFrame(
        {
            "qid": ["q"] * 3,
            "docid": ["a", "b", "c"],
            "rank": [1, 2, 3],
            "is_relevant": [False, False, True],
            "is_bm25s_first": [False, True, False],
            "matched": [0.5, np.nan, 0.2],
            "shared": [0.1, 0.1, 0.1],
        }
    )
    rows = early_matches._comparisons(passages, 50, 0).set_index("comparison")
    most = rows.loc["higher non-relevant (max) against relevant"]
    mean = rows.loc["higher non-relevant (mean) against relevant"]
    assert (most["a"], most["b"], most["above"]) == (0.5, 0.2, 1.0)
    assert mean["a"] == pytest.approx(0.25)
    first = "matched-token MRR: the model's first against BM25's"
    assert rows.loc[first, "reason"] == "no query of this kind"  # the first is not relevant


def test_pairs_without_markers_have_no_row_for_them() -> None:
    """T5 frames its pairs with neither [CLS] nor [SEP]."""
    tokens = pd.DataFrame({"layer": 0, "pair": 0, "segment": ["query", "document"]})
    found = bottleneck_layers._special(tokens.assign(value=[0.5, 1.0]), 0)
    assert found.empty and {"layer", "token", "weight", "scaled_low"} <= {*found}


def test_an_overlap_that_falls_with_rank_is_found_and_a_constant_one_has_no_correlation() -> None:
    ranks = np.tile(np.arange(1, 6), 4)
    passages = pd.DataFrame(
        {
            "qid": np.repeat(list("abcd"), 5),
            "rank": ranks,
            "important": 1.0 / ranks,
            "all_tokens": 0.5,
            "mean_position": ranks * 2.0,
        }
    )
    found = important_tokens._correlation(passages, 0).set_index("tokens")
    assert list(found["spearman"][["important", "mean_position"]]) == pytest.approx([-1, 1])
    assert "alike" in found["reason"]["all_tokens"]


def test_a_first_passage_keeps_its_place_without_its_fillers(
    planted: CrossEncoder, texts: Collection, tmp_path: Path
) -> None:
    run = ask("truncation", planted, texts, tmp_path / "run", noise="reference code", beta="1e-5")
    queries = run.read("queries")
    assert (queries["removable"] < queries["of"]).all()
    assert queries["share"].between(0, 1).all()


def test_a_first_passage_is_compared_with_the_very_score_of_the_second(
    planted: CrossEncoder, texts: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("crosslens.analyses.truncation")
    whole, rivals = module.truncation, []

    def watched(model, attribution, rival, **options):
        rivals.append(float(rival))
        return whole(model, attribution, rival, **options)

    monkeypatch.setattr(module, "truncation", watched)
    run = ask("truncation", planted, texts, tmp_path / "run", noise="reference code", beta="1e-5")
    second = [
        planted.score(texts.queries[qid], [texts.documents[i] for i in texts.candidates[qid]])
        .sort(descending=True)
        .values[1]
        for qid in dict.fromkeys(run.read("queries")["qid"])
    ]
    assert rivals == pytest.approx([float(score) for score in second for _ in range(4)], abs=1e-4)
    assert any(abs(rival - round(rival)) > 0.01 for rival in rivals)


def test_what_cannot_be_asked_is_named(
    planted: CrossEncoder, texts: Collection, tmp_path: Path
) -> None:
    for number, (name, options, why) in enumerate(
        [
            ("degradation", {"layer": 4, "methods": ["bottleneck"]}, "layers 0 to 2"),
            ("degradation", {"layer": -2, "methods": ["bottleneck"]}, "layers 0 to 2"),
            ("degradation", {"methods": ["bottlenek"]}, "did you mean bottleneck"),
            ("degradation", {"beta": "some", "methods": ["bottleneck"]}, "beta is 'some'"),
            ("important_tokens", {"noise": "median"}, "not 'median'"),
        ]
    ):
        with pytest.raises((LookupError, ValueError), match=why):
            ask(name, planted, texts, tmp_path / f"{number}", **options)


def test_texts_without_judgements_are_not_measurable(
    planted: CrossEncoder, texts: Collection, tmp_path: Path
) -> None:
    bare = Collection("bare", texts.queries, texts.documents, candidates=texts.candidates)
    for name in ("degradation", "important_tokens", "truncation", "sentence_order"):
        with pytest.raises(NotMeasurable, match="'bare'"):
            ask(name, planted, bare, tmp_path / name)


def test_rankings_are_scored_when_they_are_taken(
    planted: CrossEncoder, texts: Collection, tmp_path: Path
) -> None:
    run = Findings.create(tmp_path / "run", {})
    given = Given(planted, (texts,), 2, 0, SimpleNamespace(), run, lambda *_: None)
    first = next(samples.rankings(given, 2))
    assert first["rank"].tolist() == [1, 2] and first["score"].is_monotonic_decreasing
    assert len(run.finished("ranked")) == 1
