"""The planted tokenizer cuts any English text into pieces it knows."""

import pytest

from crosslens import plant
from crosslens.planted.tokenizer import SPECIAL, tokenizer
from crosslens.planted.vocabulary import default_frequencies, Lexicon, pieces_for
from crosslens.signals.frequency import Frequencies


@pytest.fixture(scope="module")
def cut():
    return plant("bm25").tokenizer


def test_nothing_in_english_is_unknown(cut, passages):
    strange = (
        "Zyxomma's 3.5\N{DEGREE SIGN}C \u201cco-op\u201d \N{EM DASH} na\u00efve caf\u00e9 "
        "at \N{EURO SIGN}9, qwrtzp#42 (50%)"
    )
    for text in [*passages, strange]:
        assert "[UNK]" not in cut.tokenize(text)
    assert cut.tokenize("\u8c93") == ["[UNK]"]


def test_common_words_are_whole_and_endings_too(cut):
    words = "the people of this country often think about money and water".split()
    assert cut.tokenize(" ".join(words)) == words
    assert cut.tokenize("Walking") == ["walk", "##ing"]
    assert "".join(cut.tokenize("constriction")).replace("##", "") == "constriction"


def test_a_pair_is_framed_as_bert_frames_it(cut):
    encoded = cut("big cats", "a cat rests")
    tokens = cut.convert_ids_to_tokens(encoded["input_ids"])
    assert tokens == "[CLS] big cats [SEP] a cat rest ##s [SEP]".split()
    assert encoded["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1, 1, 1]


def test_words_and_characters_of_the_documents_join():
    pieces = pieces_for(["Zymurgy is \u00f8l, zymurgy \u732b"])
    assert {"zymurgy", "\u00f8", "##\u00f8", "\u732b"} <= set(pieces)
    assert "zymurgy" not in pieces_for(["zymurgy once only"])
    assert len(set(pieces)) == len(pieces)


def test_the_default_frequencies_fall_as_in_any_text():
    known = default_frequencies()
    assert known.df["the"] > known.df["people"] > 0
    assert max(known.df.values()) <= known.n_documents
    assert known.mean_length > 20


def test_synonyms_are_counted_together():
    counted = Frequencies(10, {"car": 4, "automobile": 2, "the": 9, "a": 7}, 5.0)
    cars = Lexicon.of(counted, [("car", "automobile")])
    assert cars.frequencies.df == {"car": 6, "the": 9, "a": 7}
    assert cars.term("automobile") == cars.term("car") == "car" and cars.term("a") == "a"
    assert Lexicon.of(counted, [("the", "a")]).frequencies.df["the"] == 10


def test_a_vocabulary_begins_with_the_special_tokens():
    with pytest.raises(ValueError, match="a vocabulary begins with"):
        tokenizer(["a", "b"])
    with pytest.raises(ValueError, match="listed twice"):
        tokenizer([*SPECIAL, "a", "a"])
