"""The picture of a circuit: everything in its place, in words too, and no text gets out."""

import re
from xml.etree import ElementTree

import pandas as pd

from crosslens.report.graph import ABREAST, drawn, Plan, SCORE


def nodes(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "unit": f"u{name}",
                "name": name,
                "layer": int(name.split(".")[0]),
                "role": role,
                "writes": writes,
                "reads": reads,
                "reads_share": 0.9,
                "effect": 0.2,
                "low": 0.1,
                "high": 0.3,
            }
            for name, role, writes, reads in rows
        ]
    )


def edges(*rows: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "sender": f"u{one}",
                "sender_name": one,
                "receiver": SCORE if two == SCORE else f"u{two}",
                "receiver_name": two,
                "read": "" if two == SCORE else "v",
                "effect": effect,
                "low": effect,
                "high": effect,
            }
            for one, two, effect in rows
        ]
    )


NODES = nodes(
    ("1.1", "matching", "Q+", "D_inj"),
    ("1.2", "matching", "Q+", "D+"),
    ("1.3", "matching", "Q+", "D_inj"),
    ("3.0", "relevance scoring", "[CLS]", "Q+"),
)
EDGES = edges(("1.1", "3.0", 0.4), ("3.0", SCORE, 1.0), ("1.2", "3.0", -0.1))


def test_heads_stand_in_their_layer_above_the_tokens_they_write_at():
    plan = Plan.of(NODES, range(4))
    assert set(plan.at) == {"u1.1", "u1.2", "u1.3", "u3.0"} == {*NODES["unit"]}
    assert plan.at["u3.0"].x == plan.column("[CLS]")
    assert plan.at["u3.0"].y < plan.middle[1] < plan.middle[0] < plan.ground
    places = set(plan.at.values())
    assert len(places) == 4 and len({at.y for at in places}) == 2 and ABREAST == 3
    assert "[SEP]2" not in plan.columns


def test_the_score_stands_where_scoring_heads_write():
    assert Plan.of(NODES, range(4)).scored == "[CLS]"
    for last in ("[SEP]2", "[TEMPLATE]"):  # the last token of a decoder
        rows = ("1.1", "matching", "D_inj", "Q+"), ("3.0", "relevance scoring", last, "D_inj")
        decoder = nodes(*rows)
        plan = Plan.of(decoder, range(4))
        assert plan.score.x == plan.column(last) == plan.at["u3.0"].x
        assert "[CLS]" not in plan.columns
        assert f"The relevance score, read at {last}" in str(drawn(decoder, EDGES[1:2], 4))


def test_lines_are_as_wide_as_what_goes_along_them():
    picture = str(drawn(NODES, EDGES, 4))
    found = re.findall(r'class="edge (\w+)" d="[^"]*" stroke-width="([\d.]+)"', picture)
    assert [kind for kind, _ in found] == ["falls", "rises", "rises"]
    widths = [float(width) for _, width in found]
    assert widths == sorted(widths) and widths[-1] == 7


def test_more_heads_than_fit_abreast_are_stacked_and_the_faintest_paths_left_out():
    many = nodes(*((f"1.{i}", "matching", "Q+", "D_inj") for i in range(7)))
    plan = Plan.of(many, range(2))
    assert len(set(plan.at.values())) == 7 and len({at.y for at in plan.at.values()}) == 3
    faint = pd.concat([EDGES, edges(("1.3", "3.0", 0.01))])
    assert str(drawn(NODES, faint, 4)).count('class="edge') == len(EDGES)


def test_the_picture_is_well_formed_and_says_itself_in_words():
    picture = str(drawn(NODES, EDGES, 4))
    svg = picture[picture.index("<svg") : picture.index("</svg>") + 6]
    root = ElementTree.fromstring(svg)
    assert "matching: 1.1 at Q+, 1.2 at Q+" in root.attrib["aria-label"]
    titles = [each.text or "" for each in root.iter() if each.tag.endswith("title")]
    assert any("1.1 → 3.0 through v: 0.400" in text for text in titles)
    assert "href" not in svg and "url(" not in svg


def test_a_circuit_without_paths_is_drawn_and_hostile_names_are_text():
    evil = NODES.assign(role="<script>alert(1)</script>")
    assert "<script>" not in str(drawn(evil, EDGES.iloc[:0], 4))
