"""The planted BM25 is told by its formula, the controls fail, and nothing tells chance."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from crosslens import head
from crosslens.signals import bm25, Frequencies
from crosslens.surrogate import (
    BestColumn,
    bm25_grid,
    by_pair,
    by_place,
    by_query,
    compare_formulas,
    Features,
    fit_formula,
    fit_score,
    formulas_of,
    linear,
    quality,
    ranking_agreement,
    ridge,
    shared,
)


@pytest.fixture(scope="module")
def formulas(seen):
    found = compare_formulas(seen.observed, seen.matching, seen.rarity.values, seen.idf.filled())
    return found.set_index(["split", "formula"])


@pytest.mark.parametrize("split", ["by pair", "by query"])
def test_the_planted_score_is_soft_tf_times_idf(formulas, split) -> None:
    found = formulas.loc[split]
    for formula in ("soft BM25", "true IDF"):
        assert found["pearson"][formula] > 0.99 and found["within_query"][formula] > 0.99
        assert found["low"][formula] > 0.98
    assert found["pearson"]["BM25, tuned"] > 0.99  # which is what was planted
    controls = found.loc[["shuffled IDF", "other heads", "only tf", "only IDF", "noise"]]
    assert (controls["pearson"] < 0.93).all() and (controls["within_query"] < 0.98).all()
    assert abs(found["pearson"]["noise"]) < 0.3 and abs(found["within_query"]["noise"]) < 0.3
    assert abs(found["within_query"]["only IDF"]) < 0.3  # it is the same for all documents


def test_least_squares_is_the_fit_unless_another_is_given(seen) -> None:
    found = formulas_of(seen.observed, seen.matching, seen.rarity.values, seen.idf.filled())
    [columns] = found["true IDF"]
    default = fit_formula(columns, seen.observed).quality().pearson
    assert default == fit_formula(columns, seen.observed, estimator=linear()).quality().pearson
    assert default > 0.99 > fit_formula(found["noise"][0], seen.observed).quality().pearson


def test_the_coefficient_of_the_product_is_all_there_is(seen) -> None:
    (matching,) = seen.matching
    name = f"{matching.site.layer}.{dict(matching.coordinates)['head']}"
    columns = shared(seen.observed.at(seen.idf.filled()), seen.observed.of(seen.matching), [name])
    fit = fit_score(columns, seen.observed)
    weight = dict(zip(fit.names, fit.coefficients, strict=True))
    assert fit.names == ("idf", f"tf {name}", f"idf·tf {name}")
    assert weight[f"idf·tf {name}"] == pytest.approx(1, abs=0.02)
    assert abs(weight["idf"]) < 0.01 and abs(fit.intercept) < 0.1
    assert f"· idf·tf {name}" in fit.formula and fit.formula.startswith("score ≈ ")
    only = shared(
        seen.observed.at(seen.idf.filled()),
        seen.observed.of(seen.matching),
        [name],
        parts=["idf·tf"],
    )
    assert only.names == (f"idf·tf {name}",)


def test_a_model_of_chance_is_told_no_better_than_by_its_controls(random) -> None:
    found = compare_formulas(
        random.observed, random.matching, random.rarity.filled(), random.idf.filled()
    ).set_index(["split", "formula"])
    here = found.loc["by query"]["pearson"]
    assert here["soft BM25"] < here[["other heads", "shuffled IDF"]].max() + 0.1
    assert here["soft BM25"] < 0.6


def test_telling_queries_apart_is_not_ranking(seen) -> None:
    """Each query's mean score is told by its IDFs where it was seen, and not where it was not."""
    label = {qid: i for i, qid in enumerate(dict.fromkeys(seen.observed.qid))}
    level = np.array([3.0 * label[qid] for qid in seen.observed.qid])
    observed = replace(seen.observed, score=level + seen.observed.score)
    one_hot = np.eye(len(label))[[label[qid] for qid in observed.qid]]
    names = Features(one_hot, tuple(label))
    seen_before = fit_score(names, observed, splits=by_pair).quality()
    unseen = fit_score(names, observed, splits=by_query).quality()
    assert seen_before.pearson > 0.8 > 0.3 > unseen.pearson
    assert unseen.within_query == 0


def test_the_scaler_sees_the_training_part_alone(seen) -> None:
    observed = seen.observed
    columns = shared(observed.at(seen.rarity.values), observed.of(seen.matching), ["m"])
    fit = fit_score(columns, observed)
    for train, test in by_query(observed):
        assert not set(observed.qid[train]) & set(observed.qid[test])
        own = make_pipeline(StandardScaler(), LinearRegression())
        own.fit(columns.values[train], observed.score[train])
        np.testing.assert_allclose(fit.predicted[test], own.predict(columns.values[test]))
    raw = columns.values @ fit.coefficients + fit.intercept
    whole = LinearRegression().fit(columns.values, observed.score)
    np.testing.assert_allclose(raw, whole.predict(columns.values), atol=1e-8)


def test_places_have_coefficients_of_their_own(seen) -> None:
    observed = seen.observed
    n = observed.token.shape[1]
    soft, g = observed.of(seen.matching), observed.at(seen.rarity.values)
    columns = by_place(g, soft, ["m"])
    assert columns.values.shape == (len(observed), 3 * n)
    at = columns.names.index("idf·tf m at 1")
    np.testing.assert_array_equal(columns.values[:, at], g[:, 1] * soft[:, 1, 0])
    folded = columns.values.reshape(len(observed), n, 3).sum(axis=1)
    np.testing.assert_allclose(folded, shared(g, soft, ["m"]).values)
    assert fit_score(columns, observed, estimator=ridge()).quality().pearson > 0.8


def test_the_grid_is_bm25_over_tokens(seen) -> None:
    observed = seen.observed
    grid = bm25_grid(observed, observed.at(seen.idf.filled()), k1=[0.9], b=[0.4], mean_length=50.0)
    frequencies = Frequencies(10, {}, 50.0)
    for i in range(5):
        places = observed.is_token[i]
        ids = observed.token[i, places].tolist()
        document = [t for t, n in zip(ids, observed.tf[i, places], strict=True) for _ in range(n)]
        # each token of the query once, so that a repeated one does not count its copies twice
        document = [t for t in dict.fromkeys(ids) for _ in range(document.count(t) // ids.count(t))]
        document += [None] * (int(observed.length[i]) - len(document))
        idf = dict(zip(ids, observed.at(seen.idf.filled())[i, places], strict=True))
        expected = sum(
            idf[t] * bm25([t], document, frequencies, k1=0.9, b=0.4, idf=lambda *_: 1.0)
            for t in ids
        )
        assert grid.values[i, 0] == pytest.approx(expected)
    assert grid.names == ("BM25(k1=0.9, b=0.4)",)


def test_without_saturation_a_term_counts_once_or_not_at_all(seen) -> None:
    idf = seen.observed.at(seen.idf.filled())
    [found] = bm25_grid(seen.observed, idf, k1=[0], b=[0.5]).values.T
    np.testing.assert_allclose(found, (idf * (seen.observed.tf > 0)).sum(axis=1))


def test_the_best_column_is_chosen_by_what_it_is_fitted_on() -> None:
    chance = np.random.default_rng(0)
    y = chance.standard_normal(50)
    X = np.stack([chance.standard_normal(50), -2 * y + 3, np.ones(50)], axis=1)
    fitted = BestColumn().fit(X, y)
    assert fitted.best_ == 1
    np.testing.assert_allclose(fitted.predict(X), y, atol=1e-12)
    assert np.isfinite(BestColumn().fit(X[:, 2:], y).predict(X[:, 2:])).all()


def test_tuning_finds_the_planted_k1_and_b(seen) -> None:
    idf = seen.observed.at(seen.idf.filled())
    longer = replace(seen.observed, length=seen.observed.length + seen.observed.is_token.sum(1))
    grid = bm25_grid(longer, idf, mean_length=84.57)
    fit = fit_score(grid, longer, estimator=BestColumn())
    assert fit.quality().pearson > 0.999
    assert "BM25(k1=1.2, b=0.75)" in fit.formula and fit.formula.count("·") == 1


def test_quality_is_what_it_says() -> None:
    chance = np.random.default_rng(1)
    score = chance.standard_normal(60)
    qid = np.repeat(np.arange(6), 10).astype(object)
    told = score + 0.5 * chance.standard_normal(60)
    found = quality(told, score, qid)
    assert found.pearson == pytest.approx(np.corrcoef(told, score)[0, 1])
    each = [np.corrcoef(told[qid == i], score[qid == i])[0, 1] for i in range(6)]
    assert found.within_query == pytest.approx(np.mean(each))
    assert found.low < found.pearson < found.high and found.within_low < found.within_high
    assert found.rmse == pytest.approx(np.sqrt(((told - score) ** 2).mean()))
    assert (found.queries, found.pairs) == (6, 60)
    level = np.repeat(chance.standard_normal(6), 10)
    assert quality(level, score + 9 * level, qid).pearson > 0.9
    assert quality(level, score + 9 * level, qid).within_query == 0


def test_a_formula_that_is_the_model_ranks_as_it_does(seen, some) -> None:
    n_queries = len(np.unique(seen.observed.qid))
    columns = shared(seen.observed.at(seen.idf.filled()), seen.observed.of(seen.matching), ["m"])
    found = ranking_agreement(fit_score(columns, seen.observed), seen.observed, some)
    mean = found.set_index("figure")["mean"]
    assert mean["tau"] > 0.95 and mean["ndcg_relative"] == pytest.approx(1, abs=0.02)
    qid = seen.observed.qid
    lonely = (qid != qid[0]) | (np.arange(len(qid)) == 0)  # one document of the first query
    few = seen.observed.take(lonely)
    fit = fit_score(Features(columns.values[lonely], columns.names), few)
    assert ranking_agreement(fit, few, some)["n"].iloc[0] == n_queries - 1
    noise = Features(np.random.default_rng(0).standard_normal((len(seen.observed), 3)), ("x",) * 3)
    chance = ranking_agreement(fit_score(noise, seen.observed), seen.observed, some)
    assert abs(chance.set_index("figure")["mean"]["tau"]) < 0.3


@pytest.mark.parametrize("value", [0.3, -70.1])
def test_what_does_not_vary_is_neither_explained_nor_correlated(value: float) -> None:
    chance = np.random.default_rng(1)
    varied, same = chance.standard_normal(119), np.full(119, value)
    qid = chance.integers(0, 8, 119).astype(str)
    of_nothing = quality(varied, same, qid)
    assert np.isnan([of_nothing.r2, of_nothing.within_query]).all() and of_nothing.rmse > 0
    by_nothing = quality(same, varied, qid)
    assert by_nothing.r2 < 0 and by_nothing[:4] == of_nothing[:4] == (0, 0, 0, 0)


def test_wrong_questions_are_refused(seen) -> None:
    observed = seen.observed
    few = observed.take(observed.qid == observed.qid[0])
    columns = shared(few.at(seen.rarity.values), few.of(seen.matching), ["m"])
    with pytest.raises(ValueError, match="1 queries for 5 folds"):
        fit_score(columns, few)
    assert fit_score(columns, few, splits=partial(by_pair, folds=2)).quality().queries == 1
    with pytest.raises(ValueError, match="no parts of a formula"):
        shared(few.at(seen.rarity.values), few.of(seen.matching), ["m"], parts=["idf", "tfidf"])
    with pytest.raises(LookupError, match="not observed"):
        compare_formulas(observed, [head(9, 9)], seen.rarity.values, seen.idf.filled())
