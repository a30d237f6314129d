import numpy as np

from crosslens.default.training.phrases import (
    excerpt,
    FUNCTION_WORDS,
    pseudo_query,
    Rarity,
    salient,
    windows,
    words,
)


TEXT = (
    "The okapi is a giraffe relative of the Ituri forest. The okapi eats leaves. "
    "It was described in 1901 by people who had only seen its striped hide, long thought a zebra's."
)
RARITY = Rarity.of([TEXT, "The forest eats people. Leaves in a forest.", "people eat leaves"])


def test_the_salient_phrase_is_rare_elsewhere_and_repeated_here():
    assert "okapi" in salient(TEXT, RARITY)[0]


def test_a_phrase_never_crosses_a_function_word_or_a_stop():
    for phrase in salient(TEXT, RARITY):
        assert phrase in " ".join(words(TEXT))
        assert not set(phrase.split()) & FUNCTION_WORDS
    assert "forest okapi" not in salient("A forest. Okapi live there.", RARITY)


def test_a_pseudo_query_speaks_of_its_passage_and_repeats_with_its_seed():
    made = [pseudo_query(TEXT, RARITY, np.random.default_rng(seed)) for seed in range(60)]
    assert made == [pseudo_query(TEXT, RARITY, np.random.default_rng(seed)) for seed in range(60)]
    content = set(words(TEXT)) - FUNCTION_WORDS
    assert all(content & set(words(query)) for query in made)
    assert len(set(made)) > 30
    assert pseudo_query("of the and", RARITY, np.random.default_rng(0)) == ""


def test_an_excerpt_keeps_the_order_of_one_sentence():
    said = words(TEXT)
    for seed in range(20):
        kept = excerpt(TEXT, np.random.default_rng(seed)).split()
        at = iter(said)
        assert all(word in at for word in kept)


def test_windows_hold_the_whole_text_in_order_when_sentences_are_short():
    pieces = windows(TEXT, shortest=6, longest=40)
    assert " ".join(pieces) == TEXT and len(pieces) > 1
    assert windows("short") == ["short"]
    assert max(len(piece.split()) for piece in windows("word " * 90)) == 36
