"""The ranking beside BM25: pair by pair, and by type."""

import pandas as pd
import pytest

from crosslens import collection
from crosslens.report.ranks import by_type, run_of, scored, within
from crosslens.signals import Bm25Index


def test_scores_are_the_models_and_bm25s_own(planted, few):
    index = Bm25Index(few.documents)
    qids = sorted(few.candidates)[:2]
    table = scored(planted, index, few, qids)
    assert list(table["qid"].unique()) == qids and len(table) == 20
    for row in table.itertuples():
        assert row.model == pytest.approx(
            planted.score(few.queries[row.qid], [few.documents[row.docid]]).item(), abs=1e-4
        )
        assert row.bm25 == pytest.approx(
            index(few.queries[row.qid], [few.documents[row.docid]])[0], abs=1e-9
        )
        assert row.label == few.labels[row.qid][row.docid]
        assert row.type == few.types[row.docid]


def test_a_run_orders_by_the_chosen_score():
    table = pd.DataFrame(
        {"qid": ["q", "q"], "docid": ["a", "b"], "model": [1.0, 2.0], "bm25": [2.0, 1.0]}
    )
    assert [each.doc_id for each in run_of(table, "model")["q"]] == ["b", "a"]
    assert [each.doc_id for each in run_of(table, "bm25")["q"]] == ["a", "b"]


def test_types_are_compared_within_their_query():
    """Query 2 scores everything lower: ranks and orders do not see that, scores do."""
    table = pd.DataFrame(
        {
            "qid": ["1"] * 3 + ["2"] * 3,
            "docid": list("abcdef"),
            "label": pd.array([3, 1, 0] * 2, dtype="Int64"),
            "type": ["full", "on-topic", "stuffed"] * 2,
            "model": [10.0, 5.0, 1.0, -1.0, -5.0, -9.0],
            "bm25": [5.0, 1.0, 10.0, 5.0, 1.0, 4.0],
        }
    )
    found = by_type(table).set_index("type")
    assert list(found.index) == ["full", "on-topic", "stuffed"]
    assert found["model_rank"].tolist() == [1, 2, 3]
    assert found["bm25_rank"].tolist() == [1.5, 3, 1.5]
    assert found.loc["stuffed", "bm25_above"] == 0.5 and found.loc["stuffed", "model_above"] == 0
    assert pd.isna(found.loc["full", "model_above"])
    assert found.loc["full", "model_score"] == pytest.approx(4.5)
    assert (
        found.loc["full", "model_score_low"] == -1 and found.loc["full", "model_score_high"] == 10
    )


def test_a_large_collection_is_sampled_and_a_small_one_is_not():
    whole = collection("embedded")
    assert within(whole, 480, 0) is whole
    assert within(whole, 480 - 1, 0).n_pairs <= 480
    few = within(whole, 100, 0)
    assert few.n_pairs == 100 and len(few.candidates) == 10
    assert within(whole, 100, 0).digest == few.digest != within(whole, 100, 1).digest
