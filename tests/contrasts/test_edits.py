"""Edits of text: what is written stands where it is said to stand, and nothing else moves."""

import pytest
from encoder_decoders import encoder_decoder, MONO, tokenizer

from crosslens import load
from crosslens.contrasts.edits import after, before, Editor, occurrences, places, sentences, Slots


TEXT = "Cats purr. The cats of the town, cats: sleep! Dogs bark"


@pytest.mark.parametrize(
    "slots", [after(TEXT), before(TEXT), places(TEXT, "cats", 5), places(TEXT, "bird", 5)]
)
def test_filled_words_stand_where_the_spans_say(slots):
    words = ["one", "three", "two", "six", "eleven"][: len(slots.at)]
    text, spans = slots.fill(words)
    assert [text[start:end] for start, end in spans] == words
    assert all(not text[:start] or not text[start - 1].isalnum() for start, _ in spans)
    assert all(not text[end:] or not text[end].isalnum() for _, end in spans)


def test_filling_with_what_was_there_changes_nothing():
    slots = places(TEXT, "cats", 3)
    assert slots.own == ("Cats", "cats", "cats")
    assert slots.fill(slots.own).text == TEXT


def test_places_are_all_occurrences_and_gaps_up_to_the_number_wanted():
    assert len(places(TEXT, "cats", 2).at) == 3  # more occurrences than wanted are places too
    assert len(places(TEXT, "cats", 5).at) == 5
    text = places(TEXT, "cats", 5).fill(["x"] * 5).text
    assert occurrences(text, ["cats"]) == []
    assert places("no sentence", "cats", 3).fill(["x", "y", "z"]).text == "no sentence x y z"


def test_gaps_lie_between_sentences():
    assert places(TEXT, "bird", 3).fill(["x", "y", "z"]).text == (
        "Cats purr. x The cats of the town, cats: sleep! y Dogs bark z"
    )


def test_occurrences_are_whole_words_in_any_case():
    assert [TEXT[a:b] for a, b in occurrences(TEXT, ["cats"])] == ["Cats", "cats", "cats"]
    assert occurrences("concatenate cat's cat", ["cat"]) == [(12, 15), (18, 21)]


def test_sentences_are_taken_as_they_are_written():
    assert sentences(TEXT) == ["Cats purr.", "The cats of the town, cats: sleep!", "Dogs bark"]


def test_slots_and_words_must_be_as_many():
    with pytest.raises(ValueError, match="shorter"):
        Slots("a b", ((0, 1),)).fill([])


def test_size_is_what_a_text_adds(any_model):
    editor = Editor(any_model.tokens)
    for text in ("cats", "zebra", "cats, purr."):
        alone = any_model.pair("cats", "dog").lengths[0]
        both = any_model.pair("cats", f"dog {text}").lengths[0]
        assert editor.size(text) == both - alone
        assert editor.size(editor.fill(editor.size(text))) == editor.size(text)


def test_a_shortened_document_fits_and_a_short_one_is_left_alone(any_model):
    editor = Editor(any_model.tokens)
    long = "zebra cats " * 60
    for added in (0, 1, 7, 30):
        short = editor.shorten(long, "why do cats purr", added)
        assert long.startswith(short)
        text = " ".join([short, *["dog"] * added])
        pairs = any_model.pair("why do cats purr", text, f"{text} zebra")
        assert pairs.cut[0] == 0
        assert pairs.cut[1] > 0 or pairs.lengths[0] < any_model.tokens.limit
        assert short.split()[-1] in ("zebra", "cats")  # no half words
    assert editor.shorten("cats purr", "why", 3) == "cats purr"
    assert editor.shorten(long, "why " * 100, 3) == ""


def test_the_words_of_a_prompt_take_their_share_of_what_fits():
    model = load(encoder_decoder(), tokenizer(), template=MONO, relevant=("true", "false"))
    query, long = "why do cats purr", "snake cats " * 60
    short = Editor(model.tokens).shorten(long, query, 3)
    fitting, longer = (f"{short} {'dog ' * n}" for n in (3, 6))
    assert len(short) > 100 and model.pair(query, fitting, longer).cut.tolist() == [0, 3]


def test_a_filler_of_several_tokens_is_refused(model):
    with pytest.raises(ValueError, match="'zebra' takes .* choose a word that is one token"):
        Editor(model.tokens, "zebra")
