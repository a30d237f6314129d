"""Whether a model reacts: against the control, per query, and by enough."""

import numpy as np
import pandas as pd
import pytest
from crosslens.circuits.reaction import CONTROL, reactions


def table(spread: float = 1.0, **changes: list[float]) -> pd.DataFrame:
    """Pairs with these changes of score, one query each, whose scores spread by so much."""
    return pd.concat(
        pd.DataFrame(
            {
                "signal": name,
                "qid": [f"q{i}" for i in range(len(values))],
                "base": spread * np.resize([-1.0, 1.0], len(values)),
                "change": values,
            }
        )
        for name, values in changes.items()
    )


def test_a_reaction_is_a_change_beyond_the_controls():
    noise = np.linspace(-0.1, 0.1, 20)
    found = reactions(
        table(**{"TFC1": list(1 + noise), "TDC": list(noise), CONTROL: list(noise[::-1])})
    ).set_index("signal")
    assert found["reacts"].to_dict() == {"TFC1": True, "TDC": False, CONTROL: False}
    assert found.loc["TFC1", "change"] == pytest.approx(1)
    assert found.loc["TFC1", "low"] < 1 < found.loc["TFC1", "high"]


def test_a_change_that_any_word_makes_is_no_reaction():
    noise = np.linspace(-0.1, 0.1, 20)
    found = reactions(table(**{"TFC1": list(1 + noise), CONTROL: list(1 - noise)}))
    assert not found["reacts"].any()


def test_less_than_the_control_is_no_reaction_in_the_signals_own_direction():
    noise = np.linspace(-0.1, 0.1, 20)
    found = reactions(table(**{"TFC1": list(0.5 + noise), CONTROL: list(1 - noise)}))
    assert (found["p"].dropna() < 0.01).all() and not found["reacts"].any()


def test_a_sure_change_below_the_least_is_small():
    noise = np.linspace(-0.1, 0.1, 20)
    pairs = table(10, **{"TFC1": list(0.3 + noise), CONTROL: list(noise[::-1])})
    found = reactions(pairs).set_index("signal").loc["TFC1"]
    assert not found["reacts"] and found["is_small"] and found["least"] == pytest.approx(0.5)
    pairs["base"] /= 10  # the same change, of scores that spread less
    assert reactions(pairs).set_index("signal").loc["TFC1", "reacts"]


def test_an_error_among_five_signals_is_allowed_for_whatever_else_was_measured():
    """p between 0.01 and 0.05: one signal of five would reach it by chance now and then."""
    noise = np.linspace(-1, 1, 20)
    pairs = table(0.1, **{"TFC1": list(0.33 + noise), CONTROL: [0.0] * 20})
    alone = reactions(pairs).set_index("signal").loc["TFC1"]
    assert 0.01 < alone["p"] < 0.05 and alone["low"] > 0 and not alone["reacts"]
    sure = table(0.1, **{"TFC2": list(5 + noise), "TDC": list(5 + noise)})
    among = reactions(pd.concat([pairs, sure])).set_index("signal").loc["TFC1"]
    pd.testing.assert_series_equal(alone, among)


def test_pairs_of_one_query_are_one_observation():
    """Forty pairs of two queries are too few, however alike."""
    pairs = table(**{"TFC1": [1.0] * 40, CONTROL: [0.0] * 40})
    pairs["qid"] = [f"q{i % 2}" for i in range(40)] * 2
    found = reactions(pairs).set_index("signal").loc["TFC1"]
    assert found["queries"] == 2 and found["pairs"] == 40
    assert np.isnan(found["p"]) and not found["reacts"]
    assert "2 queries have both" in found["untested"]
