"""The planted IDF direction is found, and nothing is found where IDF is shuffled."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_predict, KFold

from crosslens import load, plant
from crosslens.idf import directions_of, idf_correlations, idf_direction, TokenIdf


def shuffled(idf: TokenIdf, seed: int = 0) -> TokenIdf:
    """The same figures, each at another token."""
    values, at = idf.values.clone(), idf.is_known.nonzero().flatten()
    order = torch.randperm(len(at), generator=torch.Generator().manual_seed(seed))
    values[at] = values[at[order]]
    return replace(idf, values=values)


@pytest.mark.parametrize("seed", range(3))
def test_the_planted_direction_is_found(seed) -> None:
    planted = plant(f"bm25?seed={seed}")
    idf = {str(piece): planted.frequencies.idf(piece) for piece in planted.frequencies.df}
    known = TokenIdf.of_table(planted.tokenizer, idf)
    W_E = load(planted).W_E
    found = idf_direction(W_E, known.log())
    truth = planted.circuit.directions["idf"].double()
    assert found.r > 0.99 and found.k == 0
    # rarer tokens lie along it, not against it
    assert float(found.vector @ truth) > 0.99
    table = idf_correlations(found.directions, known)
    assert table["spearman"][0] > 0.99 > table["pearson"][0]  # log IDF is stored, not IDF
    assert (table["spearman"][1:33].abs() < 0.1).all()  # the identity codes


def test_rows_that_share_a_large_constant_need_centring(planted, bm25_model, known) -> None:
    """U_0 correlates all the same: the constant's direction leans towards the mean of the rest."""
    as_it_is = idf_direction(bm25_model.W_E, known.log(), centre=False, k=0)
    truth = planted.circuit.directions["idf"].double()
    assert as_it_is.r > 0.99 and abs(float(as_it_is.vector @ truth)) < 0.01


def test_no_direction_goes_with_a_shuffled_idf(bm25_model, known) -> None:
    directions = directions_of(bm25_model.W_E, centre=True)
    real = idf_correlations(directions, known.log())
    control = idf_correlations(directions, shuffled(known).log())
    assert real["pearson"][0] > 0.99 > 0.1 > control["chance"][0]
    assert control["pearson"].max() < 1.5 * control["chance"][0]
    assert idf_direction(bm25_model.W_E, shuffled(known).log()).r < control["chance"][0]


def test_the_table_says_what_it_says(bm25_model, known) -> None:
    directions = directions_of(bm25_model.W_E, centre=True)
    found = idf_correlations(directions, known.log(), most=7)
    at = known.log().is_known
    for k, row in found.iterrows():
        both = torch.stack((directions.U[at, k], known.log().values[at]))
        r = float(torch.corrcoef(both)[0, 1])
        assert row["pearson"] == pytest.approx(abs(r)) and row["sign"] == (1 if r > 0 else -1)
        assert row["low"] < row["pearson"] < row["high"]
    assert found["n"][0] == int(at.sum()) and len(found) == 7
    # one direction holds it all; random ones share it out
    assert found["explained"][0] > 0.99 > 0.5 > found["random"][0]
    assert found["explained"].is_monotonic_increasing or found["explained"].min() > 0.99


def test_what_the_directions_explain_is_least_squares_held_out(bm25_model, known) -> None:
    directions = directions_of(bm25_model.W_E, centre=True)
    found = idf_correlations(directions, known, most=3)["explained"][2]
    at = known.is_known
    X, y = directions.U[at, :3].numpy(), known.values[at].numpy()
    folds = KFold(5, shuffle=True, random_state=0)
    told = cross_val_predict(LinearRegression(), X, y, cv=folds)
    mean = cross_val_predict(LinearRegression(), X * 0, y, cv=folds)
    assert found == pytest.approx(1 - ((y - told) ** 2).sum() / ((y - mean) ** 2).sum())


def drawn(W_E: torch.Tensor) -> TokenIdf:
    """An IDF by chance, of every token."""
    chance = torch.rand(len(W_E), generator=torch.Generator().manual_seed(1)).double()
    return TokenIdf(chance, torch.ones(len(W_E), dtype=torch.bool), "chance")


def test_directions_that_hold_nothing_explain_nothing_more() -> None:
    chance = torch.Generator().manual_seed(0)
    W_E = torch.randn(400, 6, generator=chance) @ torch.randn(6, 40, generator=chance)
    directions = directions_of(W_E)
    directions.U[:, 6:] = 0
    table = idf_correlations(directions, drawn(W_E))
    for name in ("explained", "random"):
        assert np.allclose(table[name][5:], table[name][5]) and -0.1 < table[name][5] < 0.1


def test_fewer_tokens_than_directions_explain_as_far_as_they_go() -> None:
    W_E = torch.randn(400, 64, generator=torch.Generator().manual_seed(0))
    idf = drawn(W_E)
    table = idf_correlations(directions_of(W_E), idf.first(40))
    assert table["explained"].notna().tolist() == [k < 31 for k in range(50)]
    whole = idf_correlations(directions_of(W_E), idf.first(40), most=31)
    assert np.allclose(table["explained"][:31], whole["explained"])


def test_a_token_is_moved_to_where_tokens_of_an_idf_stand(planted, bm25_model, known) -> None:
    found = idf_direction(bm25_model.W_E, known.log())
    ids = planted.tokenizer.get_vocab()
    pairs = bm25_model.pair("river", "a river on the road")
    own = float(known.log().values[ids["river"]])
    hook = found.to([ids["river"]], own - 1)
    with torch.no_grad(), bm25_model.hooked(hook), bm25_model.record("embed") as cache:
        edited = bm25_model(pairs)
    moved = (cache.layers("embed")[0, 0, 1] - bm25_model.W_E[ids["river"]]).detach()
    truth = planted.circuit.directions["idf"]
    assert float(moved @ truth) == pytest.approx(-(2**0.5), rel=0.03)
    assert float(moved @ truth) == pytest.approx(-float(moved.norm()), rel=0.01)
    # the model weighs the term as one 1 / e as rare, and with it the score
    assert float(edited / bm25_model(pairs)) == pytest.approx(math.exp(-1), rel=0.05)


def test_wrong_questions_are_refused(bm25_model, known) -> None:
    with pytest.raises(ValueError, match="too few to correlate"):
        idf_direction(bm25_model.W_E, known.first(20))
    with pytest.raises(ValueError, match="k=999"):
        idf_direction(bm25_model.W_E, known, k=999)
    with pytest.raises(ValueError, match="the tokenizer of this model"):
        idf_direction(bm25_model.W_E[:100], known)
