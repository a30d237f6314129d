"""Token roles: every token has one, by the word it belongs to."""

from crosslens.contrasts.contrast import contrast, Minimal
from crosslens.contrasts.roles import NAMES
from crosslens.pairs import Segment


def named(contrast) -> list[tuple[str, str]]:
    role = contrast.more.role[0].tolist()
    words = contrast.more.words(0)
    return [(word, NAMES[r]) for word, r in zip(words, role, strict=True)]


def test_roles_are_those_of_the_words(any_model):
    text = "The Cats, why purr; zebra cats"
    made = contrast(
        any_model, "TFC1", [Minimal("why do cats purr", f"{text} a", f"{text} cats", "cats")]
    )
    found = [each for each in named(made) if each[0][0] != "["]
    assert found == [
        *(("why", "Q-"), ("do", "Q-"), ("cats", "Q+"), ("purr", "Q-")),
        *(("The", "D_other"), ("Cats", "D+"), (",", "D_other"), ("why", "D-"), ("purr", "D-")),
        (";", "D_other"),
        *[("zebra", "D_other")] * 5,
        *(("cats", "D+"), ("cats", "D_inj")),
    ]


def test_every_token_of_a_split_word_has_its_role(any_model):
    query = "zebra in town"
    made = contrast(any_model, "TFC1", [Minimal(query, "zebra a a a a a", "zebra zebra", "zebra")])
    roles = [role for _, role in named(made)]
    assert roles.count("Q+") == roles.count("D+") == roles.count("D_inj") == 5


def test_roles_partition_the_tokens_and_agree_with_the_segments(any_model):
    made = contrast(
        any_model,
        "TFC1",
        [
            Minimal("why do cats purr", "the dog a", "the dog cats", "cats"),
            Minimal(
                "cats", "cats and cats of the town a", "cats and cats of the town cats", "cats"
            ),
        ],
    )
    for side in (made.base, made.more):
        times = sum(side.where(name).int() for name in NAMES)
        assert (times == 1).all()
        assert (side.where("Q+", "Q-") == side.where("query")).all()
        assert (side.where("D_inj", "D+", "D-", "D_other") == side.where("document")).all()
        assert (side.where("[PAD]") == (side.segment == Segment.PAD)).all()
        assert (side.where("[SEP]1") == side.where("sep1")).all()
    assert made.more.where("[PAD]").any()
