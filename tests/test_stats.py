import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score

from crosslens.stats import (
    auroc,
    average_precision,
    benjamini_hochberg,
    bootstrap_interval,
    p_of_means,
    paired_test,
    permutation_test,
    precision_at,
    r_precision,
    recall_at,
    spearman,
    top_k_overlap,
)


VALUES = np.random.default_rng(1).normal(0.3, 1.0, size=(3, 4, 40))


def test_the_interval_is_scipys_percentile_bootstrap() -> None:
    low, high = bootstrap_interval(VALUES, n=8000)
    theirs = stats.bootstrap(
        (VALUES,), np.mean, axis=-1, n_resamples=8000, method="percentile", rng=2
    ).confidence_interval
    assert low.shape == (3, 4)
    np.testing.assert_allclose(low, theirs.low, atol=0.02)
    np.testing.assert_allclose(high, theirs.high, atol=0.02)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    samples = np.random.default_rng(3).normal(5.0, 2.0, size=(400, 50))
    low, high = bootstrap_interval(samples, confidence=0.8, n=1000)
    covered = ((low <= 5.0) & (high >= 5.0)).mean()
    assert 0.73 < covered < 0.86


def test_skipped_pairs_count_for_nothing() -> None:
    with_gaps = np.full((2, 60), np.nan)
    with_gaps[0, ::2] = VALUES[0, 0, :30]
    low, high = bootstrap_interval(with_gaps, n=4000)
    alone = bootstrap_interval(VALUES[0, 0, :30], n=4000)
    assert low[0] == pytest.approx(float(alone.low), abs=0.05)
    assert high[0] == pytest.approx(float(alone.high), abs=0.05)
    assert np.isnan([low[1], high[1]]).all()


def test_the_seed_decides_and_a_constant_has_no_width() -> None:
    first, again = (bootstrap_interval(VALUES, seed=7) for _ in range(2))
    np.testing.assert_array_equal(first.low, again.low)
    assert (bootstrap_interval(VALUES, seed=8).low != first.low).any()
    generator = np.random.default_rng(7)
    np.testing.assert_array_equal(bootstrap_interval(VALUES, seed=generator).low, first.low)
    assert bootstrap_interval(np.full(5, 2.0)) == (2.0, 2.0)


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="all of them skipped"):
        bootstrap_interval(np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match="between 0 and 1, not 95.0"):
        bootstrap_interval(VALUES, confidence=95.0)


def test_the_paired_test_is_scipys_and_sees_what_an_unpaired_one_misses() -> None:
    a = np.random.default_rng(4).normal(0, 10, 30)
    b = a - 0.5 + np.random.default_rng(5).normal(0, 0.1, 30)
    found = paired_test(a, b)
    theirs = stats.ttest_rel(a, b)
    assert (found.statistic, found.p_value, found.n) == (theirs.statistic, theirs.pvalue, 30)
    assert found.difference == pytest.approx(0.5, abs=0.1)
    assert found.p_value < 1e-6 < 0.5 < stats.ttest_ind(a, b).pvalue


def test_a_pair_that_one_side_skipped_is_left_out() -> None:
    a, b = np.array([1.0, 2.0, np.nan, 4.0]), np.array([0.0, 1.5, 7.0, np.nan])
    assert paired_test(a, b)[2:] == paired_test(a[:2], b[:2])[2:]
    assert paired_test(a, b).n == 2


def test_equal_differences_are_certain() -> None:
    a = np.array([1.0, 2.0, 3.0])
    assert paired_test(a, a) == (0.0, 0.0, 1.0, 3)
    assert paired_test(a, a + 1) == (-1.0, -np.inf, 0.0, 3)


def test_many_means_are_tested_as_one_by_one() -> None:
    values = np.random.default_rng(6).normal(0.3, 1, (6, 12))
    values[0, 3:] = np.nan
    values[1, 1:] = np.nan  # one pair: no test
    values[2] = 0.25
    values[3] = 0
    values[4] = np.nan
    expected = [
        paired_test(row, np.zeros(12)).p_value if (~np.isnan(row)).sum() > 1 else np.nan
        for row in values
    ]
    np.testing.assert_allclose(p_of_means(values), expected, rtol=1e-12)
    assert expected[2:4] == [0, 1]


def test_one_pair_cannot_be_tested() -> None:
    with pytest.raises(ValueError, match="two pairs at least; 1 are left"):
        paired_test(np.array([1.0, np.nan]), np.array([0.0, 0.0]))


def test_adjusted_p_values_control_false_discoveries() -> None:
    p = np.array([[0.01, np.nan, 0.04], [0.03, 0.5, np.nan]])
    # by hand, m = 4: 0.01·4/1, then min(0.03·4/2, 0.04·4/3), 0.04·4/3, 0.5
    expected = np.array([[0.04, np.nan, 0.16 / 3], [0.16 / 3, 0.5, np.nan]])
    np.testing.assert_allclose(benjamini_hochberg(p), expected)
    nothing_there = np.random.default_rng(6).uniform(size=(200, 50))
    false_alarms = [(benjamini_hochberg(each) < 0.05).any() for each in nothing_there]
    assert np.mean(false_alarms) < 0.1
    assert (nothing_there < 0.05).any(axis=1).mean() > 0.8  # control: unadjusted


def test_no_test_needs_no_adjustment_and_no_p_lies_outside() -> None:
    assert np.isnan(benjamini_hochberg(np.array([np.nan]))).all()
    with pytest.raises(ValueError, match="found 1.5"):
        benjamini_hochberg(np.array([0.1, 1.5]))


EFFECTS = np.array([0.9, 0.1, 0.5, 0.5, -2.0])
TRUTH = np.array([True, False, True, False, False])


def test_auroc_is_the_share_of_true_and_false_items_in_order() -> None:
    # of six comparisons five are won, and 0.5 against 0.5 is a tie
    assert auroc(EFFECTS, TRUTH) == pytest.approx((5 + 0.5) / 6)
    assert auroc(TRUTH.astype(float), TRUTH) == 1.0
    assert auroc(-EFFECTS, TRUTH) == pytest.approx(1 - auroc(EFFECTS, TRUTH))
    assert auroc(np.zeros(5), TRUTH) == 0.5


def test_precision_and_recall_at_k() -> None:
    assert precision_at(EFFECTS, TRUTH, 1) == 1.0
    assert precision_at(EFFECTS, TRUTH, 3) == 2 / 3
    assert recall_at(EFFECTS, TRUTH, 1) == 0.5
    assert recall_at(EFFECTS, TRUTH, 2) == 1.0  # of equals, the earlier


def test_overlap_and_rank_correlation() -> None:
    assert top_k_overlap(EFFECTS, EFFECTS**3, 3) == 1.0
    assert top_k_overlap(EFFECTS, -EFFECTS, 2) == 0.0
    assert spearman(EFFECTS, EFFECTS**3) == pytest.approx(1.0)
    a, b = VALUES[0, 0], VALUES[0, 1]
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)


def test_what_has_no_order_is_refused() -> None:
    with_gap = np.array([0.9, np.nan, 0.5, 0.5, 0.1])
    for measure in (auroc, spearman):
        with pytest.raises(ValueError, match=r"items \[1\] are nan"):
            measure(with_gap, TRUTH if measure is auroc else EFFECTS)
    with pytest.raises(ValueError, match=r"items \[1\] are nan"):
        precision_at(with_gap, TRUTH, 2)
    with pytest.raises(ValueError, match="found 5 true and 0 false"):
        auroc(EFFECTS, np.ones(5, dtype=bool))
    with pytest.raises(ValueError, match="no item is true"):
        recall_at(EFFECTS, np.zeros(5, dtype=bool), 2)
    with pytest.raises(ValueError, match="the second of the two has nothing to rank"):
        spearman(EFFECTS, np.ones(5))
    for k in (0, 6):
        with pytest.raises(ValueError, match=f"the top {k} of 5 items"):
            top_k_overlap(EFFECTS, EFFECTS, k)


def test_r_precision_is_precision_at_the_number_of_true_items() -> None:
    draw = np.random.default_rng(5)
    for _ in range(20):
        effects, truth = draw.normal(size=30), draw.random(30) < 0.3
        truth[0] = True
        k = int(truth.sum())
        assert r_precision(effects, truth) == precision_at(effects, truth, k)
        assert r_precision(effects, truth) == recall_at(effects, truth, k)
    with pytest.raises(ValueError, match="no item is true"):
        r_precision(effects, np.zeros(30, dtype=bool))


def test_of_equals_at_the_border_an_even_share_is_found() -> None:
    truth = np.array([True, True, False, False, False])
    assert r_precision(np.array([1.0, 0, 0, 0, 0]), truth) == pytest.approx((1 + 1 / 4) / 2)
    assert r_precision(np.zeros(5), truth) == pytest.approx(2 / 5)
    # wherever the true item stands among its equals
    assert r_precision(np.array([1.0, 0, 0, 0, 0]), truth[[0, 2, 3, 4, 1]]) == 0.625


def test_average_precision_is_scikit_learns() -> None:
    draw = np.random.default_rng(6)
    for _ in range(20):
        effects, truth = draw.integers(0, 8, size=30).astype(float), draw.random(30) < 0.3
        truth[0] = True
        assert average_precision(effects, truth) == pytest.approx(
            average_precision_score(truth, effects)
        )
    with pytest.raises(ValueError, match="no item is true"):
        average_precision(effects, np.zeros(30, dtype=bool))


def test_the_permutation_test_is_scipys_and_needs_a_difference_between_pairs() -> None:
    draw = np.random.default_rng(5)
    a, b = draw.normal(0.4, 1, 30), draw.normal(0, 1, 30)
    theirs = stats.permutation_test(
        (a - b,), np.mean, permutation_type="samples", n_resamples=9_999, vectorized=True
    ).pvalue
    assert permutation_test(a, b) == pytest.approx(theirs, abs=0.02)
    assert permutation_test(a, a) == 1.0
    assert permutation_test(a + 1, a) == pytest.approx(1e-4)
    skipped = np.where(np.arange(30) < 28, np.nan, a)
    assert permutation_test(skipped, b) > 0.4, "two pairs are left"
    with pytest.raises(ValueError, match="two pairs at least; 1 are left"):
        permutation_test(a[:1], b[:1])
