"""What is said, and above all what is not."""

import pandas as pd
import pytest
from crosslens.circuits.reaction import CONTROL

from crosslens.report.summary import claimed, effects, of_layer, of_signal, reacting, signed


REACTION = {
    "change": 1.2,
    "low": 1.0,
    "high": 1.4,
    "pairs": 40,
    "control": 0.01,
    "p": 1e-6,
    "reacts": True,
    "is_small": False,
    "least": 0.1,
    "untested": "",
}


def unit(site: str, layer: int, part: str, mean: float, **other) -> dict:
    sure = {"low": mean - 0.02, "high": mean + 0.02, "n": 12, "p": 1e-6, "q": 1e-4}
    name = f"{layer}.{site}[{part}]"
    return {"unit": name, "site": site, "layer": layer, "part": part, "mean": mean} | sure | other


SURE = unit("z", 1, "3", 0.4)


@pytest.mark.parametrize(
    ("why", "row"),
    [
        ("not after correction", SURE | {"q": 0.06}),
        ("its interval holds 0", SURE | {"low": -0.01}),
        ("too small", unit("z", 1, "3", 0.04)),
        ("too small for a role", unit("attn_out", 1, "Q+", 0.09)),
        ("too few pairs", SURE | {"n": 4}),
        ("not measured", SURE | {"mean": float("nan"), "q": float("nan")}),
    ],
)
def test_a_unit_is_named_only_if_everything_speaks_for_it(why, row):
    assert claimed(pd.DataFrame([SURE, row])).tolist() == [True, False], why


def test_a_negative_effect_may_be_named_too():
    assert claimed(pd.DataFrame([unit("z", 1, "3", -0.4)])).all()


def test_a_layer_in_which_nothing_stands_out_is_said_to_be_so():
    units = pd.DataFrame([SURE, unit("attn_out", 2, "Q+", 0.5, q=0.5)])
    layers = {each.layer: each.text for each in of_signal("TFC1", REACTION, units)[-2:]}
    assert layers[1] == "Of its heads, 1.3 (0.40, 0.38 to 0.42) stands out."
    assert layers[2] == "No token role and no head of this layer stands out."


def test_the_input_of_layer_0_is_no_finding():
    sure = pd.DataFrame([unit("resid_pre", 0, "D_inj", 1.0)])
    assert of_layer(sure, 0) == (
        "Its input differs at the injected tokens only. "
        "No token role and no head of this layer stands out."
    )
    assert "restores most" not in " ".join(each.text for each in of_signal("TFC1", REACTION, sure))


def test_the_journey_of_the_difference_has_stages():
    rows = [
        unit("resid_pre", 0, "D_inj", 1.0),
        unit("resid_pre", 1, "D_inj", 0.9),
        unit("resid_pre", 2, "D_inj", 0.3),
        unit("resid_pre", 2, "Q+", 0.6),
        unit("resid_pre", 3, "[CLS]", 0.9),
    ]
    texts = [each.text for each in of_signal("TFC1", REACTION, pd.DataFrame(rows))]
    assert (
        "Of all roles, the input of a layer restores most at the injected term (D_inj) (layer 1), "
        "then at the selected query term (Q+) (layer 2), then at [CLS] (layer 3)."
    ) in texts


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({}, "The model reacts: the score changes by +1.20"),
        ({"reacts": False}, "The model does not react to this signal beyond"),
        ({"reacts": False, "is_small": True}, "The model reacts, but hardly"),
        ({"reacts": False, "untested": "2 queries"}, "The score changes by +1.20"),
    ],
)
def test_a_signal_without_a_reaction_gets_no_layers(changes, begins):
    reaction = REACTION | changes
    found = of_signal("TFC1", reaction, pd.DataFrame([SURE]))
    assert found[0].layer == -1 and found[0].text.startswith(begins)
    assert (len(found) > 1) == bool(reaction["reacts"])


def test_the_control_is_never_put_into_claims():
    found = of_signal(CONTROL, REACTION | {"reacts": False}, pd.DataFrame([SURE]))
    assert len(found) == 1 and "neither query nor document" in found[0].text


def test_at_most_four_are_named_and_the_rest_counted():
    rows = pd.DataFrame([unit("z", 1, str(i), 0.1 * (i + 1)) for i in range(6)])
    text = effects(rows, head=True)
    assert text.startswith("1.5 (0.60") and text.endswith("and 2 more") and "1.1" not in text


def test_no_zero_has_a_sign():
    assert [signed(v) for v in (-0.001, 0.0, 0.004, -0.3)] == ["0.00", "0.00", "0.00", "-0.30"]


def test_numbers_stand_beside_every_reaction():
    assert "95 % interval +1.00 to +1.40, 40 pairs" in reacting("TFC1", REACTION)
