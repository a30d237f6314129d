"""Rows of means: the intervals are those of the bootstrap, and skipped pairs do not count."""

import numpy as np
import pandas as pd
import pytest
from crosslens.analyses.means import mean_row, means_by, means_of, paired_row

from crosslens.stats import bootstrap_interval, paired_test


VALUES = np.random.default_rng(0).random(20)


def test_a_row_has_the_mean_its_interval_and_how_many():
    low, high = bootstrap_interval(VALUES, seed=3)
    expected = {"share": VALUES.mean(), "low": low, "high": high, "n": 20}
    for values in (VALUES, pd.Series(VALUES)):
        assert mean_row(values, "share", seed=3) == expected
    assert mean_row(VALUES, "share", seed=4) != expected


def test_groups_stand_in_the_order_of_the_table():
    table = pd.DataFrame({"kind": ["b"] * 8 + ["a"] * 12, "x": VALUES})
    found = means_by(table, ["kind"], "x", "mean x", seed=1)
    assert found.to_dict("records") == [
        {"kind": "b", **mean_row(VALUES[:8], "mean x", seed=1)},
        {"kind": "a", **mean_row(VALUES[8:], "mean x", seed=1)},
    ]


def test_columns_share_the_draws_and_skipped_pairs_do_not_count():
    found = means_of({"one": VALUES, "same": VALUES + 1, "skipped": [np.nan, *VALUES[1:]]}, seed=2)
    assert found["same_low"] - found["one_low"] == pytest.approx(1)
    assert found["skipped"] == pytest.approx(VALUES[1:].mean())
    assert found["one_low"] < found["one"] == VALUES.mean() < found["one_high"]


def test_two_columns_are_compared_pair_by_pair_and_one_pair_has_no_test():
    other = VALUES[::-1]
    found = paired_row(VALUES, other, seed=0)
    assert found["p"] == paired_test(VALUES, other).p_value
    assert found["difference"] == pytest.approx(0)
    assert found["low"] < 0 < found["high"]
    assert paired_row(VALUES[:1], other[:1], seed=0)["p"] is None
