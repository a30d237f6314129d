"""Sentences, and passages whose sentences stand in another order."""

from collections import Counter

import pytest

from crosslens.corpora.sentences import ORDERS, sentences


TEXT = 'Cats purr. Why? "They rest." It costs 3.50 a day! 猫は寝る。犬も寝る。'


def test_a_sentence_ends_behind_its_mark() -> None:
    assert sentences(TEXT) == [
        "Cats purr.",
        "Why?",
        '"They rest."',
        "It costs 3.50 a day!",
        "猫は寝る。",
        "犬も寝る。",
    ]


def test_orders_keep_every_sentence_as_it_is() -> None:
    for order in ORDERS.values():
        assert Counter(sentences(order(TEXT, 3))) == Counter(sentences(TEXT))


def test_each_order_is_the_one_it_is_called() -> None:
    text = "One. Two. Three. Four."
    assert ORDERS["swapped"](text, 0) == "Two. One. Three. Four."
    assert ORDERS["reversed"](text, 0) == "Four. Three. Two. One."
    drawn = {ORDERS["shuffled"](text, seed) for seed in range(20)}
    assert len(drawn) > 5
    assert ORDERS["shuffled"](text, 7) == ORDERS["shuffled"](text, 7)


@pytest.mark.parametrize("order", ORDERS)
def test_a_passage_of_one_sentence_stays_as_it_is(order: str) -> None:
    assert ORDERS[order]("cats purr", 0) == "cats purr"
