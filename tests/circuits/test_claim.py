"""What a claim comes to: figures decide, and what was not measured decides nothing."""

import numpy as np
import pytest
from crosslens.circuits.claim import Verdict
from crosslens.circuits.figure import Figure, mean_of, measured, missing, number

from crosslens import NotMeasurable


HIGH = mean_of("high", np.array([1.0, 1.1, 0.9, 1.0]), holds=lambda low, high, control: low > 0.5)
LOW = mean_of(
    "low",
    np.array([0.1, 0.0, np.nan]),
    control=np.array([0.5]),
    expected="above 0.5",
    holds=lambda low, high, control: low > control,
)
BESIDE = Figure("beside", 3.0)


def test_a_claim_holds_if_every_figure_that_decides_does():
    assert Verdict.by("c", "m", [HIGH, BESIDE]).holds is True
    found = Verdict.by("c", "m", [HIGH, LOW, BESIDE])
    assert found.holds is False and found.deciding is LOW
    assert Verdict.by("c", "m", [BESIDE]).holds is None
    assert str(found).startswith("c does not hold in m: low 0.05")
    assert "control 0.50, expected above 0.5" in found.says


def test_figures_of_nothing_decide_nothing():
    empty = mean_of("empty", np.array([np.nan]), holds=lambda low, high, control: low > 0)
    assert empty.holds is None and empty.n == 0 and np.isnan(empty.value)
    assert Verdict.undecided("c", "m", "no texts").record()["says"] == "no texts"


def test_skipped_items_do_not_count():
    assert LOW.n == 2 and LOW.value == pytest.approx(0.05) and LOW.low >= 0
    assert HIGH.low < HIGH.value < HIGH.high


def test_a_frame_has_a_row_per_figure_and_none_is_an_answer():
    frame = Verdict.by("c", "m", [HIGH, BESIDE]).frame()
    assert frame["holds"].tolist()[0] is True and frame["holds"].isna().tolist() == [False, True]
    assert (frame["claim"] == "c").all()


def test_numbers_as_people_write_them():
    assert [number(x) for x in (0.123, 1.234, 123.4, float("nan"))] == ["0.12", "1.23", "123", "–"]


def test_a_decisive_test_that_could_not_be_made_leaves_a_claim_undecided():
    absent = missing("T3", "no pair for TFC2", "above 0")
    found = Verdict.by("c", "m", [HIGH, absent], pairs=7)
    assert found.holds is None and found.deciding is absent
    assert str(found) == "c is undecided in m on 7 pairs: T3: not measured, no pair for TFC2"
    assert Verdict.by("c", "m", [LOW, absent]).holds is False, "another figure refutes it"
    assert Verdict.by("c", "m", [HIGH, missing("T4", "no sentence")]).holds is True


def test_only_what_cannot_be_measured_is_caught():
    def absent() -> list[Figure]:
        raise NotMeasurable("no such texts")

    def wrong() -> list[Figure]:
        raise ValueError("shapes differ")

    (row,) = measured("T2", absent)
    assert row.reason == "no such texts" and row.holds is None
    assert measured("T2", lambda: [HIGH]) == [HIGH]
    with pytest.raises(ValueError, match="shapes"):
        measured("T2", wrong)


def test_a_control_without_a_value_is_no_control():
    values, nothing = np.array([1.0, 1.1]), np.array([np.nan, np.nan])
    found = mean_of("x", values, control=nothing, expected="above", holds=lambda *_: True)
    assert found.holds is None and "none of 2 in the control" in found.reason
