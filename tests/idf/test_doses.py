"""Turning the planted IDF turns the score; what only looks like it does not."""

import numpy as np
import pandas as pd
import pytest
import torch

from crosslens import Axioms, collection, head
from crosslens.idf import dose_response, idf_direction, idf_doses
from crosslens.interventions import scale_rows
from crosslens.stats import spearman


SCALES = (0.5, 1.0, 2.0, 3.0)


@pytest.fixture(scope="module")
def contrast(bm25_model):
    return Axioms(bm25_model, collection()).tfc1(6)


@pytest.fixture(scope="module")
def direction(bm25_model, known):
    return idf_direction(bm25_model.W_E, known.log())


@pytest.fixture(scope="module")
def doses(planted, bm25_model, contrast, direction):
    (reader,) = planted.circuit.roles["relevance scoring"]
    return idf_doses(
        bm25_model,
        contrast.more,
        direction,
        scales=SCALES,
        targets=(-2.0, 0.0, 2.5),
        readers=[reader, head(0, 0)],
    )


def test_score_and_attention_rise_with_the_dose(planted, doses) -> None:
    found = dose_response(doses).set_index("edit")
    for edit in ("idf", "idf in the query", "to", "to in the query"):
        assert found["monotone"][edit] == 1 and found["n"][edit] == 6
        assert found["lowest"][edit] < 0 < found["highest"][edit]
    (reader,) = planted.circuit.roles["relevance scoring"]
    column = f"attention {reader.site.layer}.{dict(reader.coordinates)['head']}"
    seen = dose_response(doses, response=column).set_index("edit")
    assert seen["monotone"]["idf"] == 1
    # of a head that reads nothing of it: even attention, whatever the dose
    assert not dose_response(doses, response="attention 0.0").set_index("edit")["n"]["to"]


def test_the_planted_model_reads_rarity_in_the_query_alone(doses) -> None:
    table = doses[doses["edit"].isin(["idf", "idf in the query"])]
    table = table.pivot(index=["pair", "dose"], columns="edit", values="score")
    # not equal: what is found is not quite what was planted, and the rest touches the codes
    np.testing.assert_allclose(table["idf"], table["idf in the query"], rtol=0.1, atol=0.05)


def test_what_rounding_does_is_no_response() -> None:
    """Scores in another batch differ in their last digits, which are then another order."""
    draw = np.random.default_rng(0)
    dose = np.tile(np.linspace(-3, 3, 7), 4)
    table = pd.DataFrame({"pair": np.repeat(range(4), 7), "edit": "still", "dose": dose})
    table["score"] = 7.0 + 1e-6 * draw.normal(size=len(table))
    saturated = table.assign(edit="saturated", score=table["score"] + (dose > 1))
    plain = pd.DataFrame({"pair": range(4), "edit": "none", "dose": np.nan, "score": 7.0})
    found = dose_response(pd.concat([plain, table, saturated])).set_index("edit")
    assert found["n"]["still"] == 0 and np.isnan(found["monotone"]["still"])
    exact = spearman(np.linspace(-3, 3, 7), (np.linspace(-3, 3, 7) > 1).astype(float))
    assert found["monotone"]["saturated"] == pytest.approx(exact)
    assert found["low"]["saturated"] == found["high"]["saturated"], "alike in every pair"


def test_controls_do_not_follow_the_dose(doses) -> None:
    found = dose_response(doses).set_index("edit")["monotone"]
    controls = found[["row", "random 0", "random 1", "random 2"]]
    assert (controls < 0.75).all()


def test_each_dose_is_the_edit_it_says(bm25_model, contrast, direction, doses) -> None:
    pairs = contrast.more
    token = pairs.token[pairs.where("Q+")].unique()
    term = ("Q+", "D+", "D_inj")
    for edit, dose, hook in (
        ("idf", -3.0, direction.scaled(token, -3.0, pos=term)),
        ("row", 2.0, scale_rows(token, direction.sign * 2.0, pos=term)),
        ("to in the query", 2.5, direction.to(token, 2.5, pos="Q+")),
    ):
        with torch.no_grad(), bm25_model.hooked(hook):
            expected = bm25_model(pairs).numpy()
        found = doses[(doses["edit"] == edit) & (doses["dose"] == dose)]
        assert found["score"].to_numpy() == pytest.approx(expected, rel=1e-4, abs=1e-4)
    swept = idf_doses(bm25_model, pairs, direction, scales=SCALES, targets=(-2.0, 0.0, 2.5))
    np.testing.assert_allclose(swept["score"], doses["score"], rtol=1e-4, atol=1e-4)
    plain = doses[doses["edit"] == "none"]
    assert (plain["change"] == 0).all() and len(plain) == len(pairs)


def test_pairs_without_a_selected_term_are_refused(bm25_model, direction) -> None:
    with pytest.raises(LookupError, match="Q\\+"):
        idf_doses(bm25_model, bm25_model.pair("why", "cats purr"), direction)


def test_a_scale_of_nothing_is_refused(bm25_model, contrast, direction) -> None:
    with pytest.raises(ValueError, match="above 0"):
        idf_doses(bm25_model, contrast.more, direction, scales=[0.0])
