"""IDF by token id: counted in documents as the tokenizer cuts them, or read from a table."""

import math

import pytest
import torch
from tiny import tiny

from crosslens import collection, load
from crosslens.idf import TokenIdf
from crosslens.signals import Frequencies


DOCUMENTS = ("cats purr", "cats rest", "the dog", "cats purr xyz")


def test_it_counts_documents_and_not_occurrences(model) -> None:
    tokenizer = model.tokens.tokenizer
    found = TokenIdf.of_documents(tokenizer, iter(DOCUMENTS))
    ids = tokenizer.get_vocab()
    counted = Frequencies.of([tokenizer.tokenize(text) for text in DOCUMENTS])
    for piece in ("cats", "purr", "dog", "x", "##y"):
        assert found.values[ids[piece]] == pytest.approx(counted.idf(piece))
    assert found.values[ids["snake"]].isnan()  # in no document: how rare is not known
    assert found.filled()[ids["snake"]] == found.filled().max()
    assert found.filled()[ids["cats"]] == found.filled().min()


def test_only_pieces_that_begin_a_word_are_whole(model) -> None:
    tokenizer = model.tokens.tokenizer
    ids = tokenizer.get_vocab()
    found = TokenIdf.of_documents(tokenizer, DOCUMENTS)
    assert found.is_known[ids["cats"]] and found.is_known[ids["x"]]
    assert not found.is_known[ids["##y"]] and not found.values[ids["##y"]].isnan()
    assert not found.is_whole[tokenizer.all_special_ids].any()
    assert not found.first(ids["cats"]).is_known[ids["cats"]]
    assert found.first(ids["cats"] + 1).is_known[ids["cats"]]


def test_a_table_gives_what_counting_gives(model) -> None:
    tokenizer = model.tokens.tokenizer
    counted = TokenIdf.of_documents(tokenizer, DOCUMENTS)
    df = Frequencies.of([tokenizer.tokenize(text) for text in DOCUMENTS]).df
    by_df = TokenIdf.of_df(tokenizer, df | {"snake": 0}, len(DOCUMENTS))
    torch.testing.assert_close(by_df.values, counted.values, equal_nan=True)
    assert "4 documents" in repr(counted) and "6 whole" in repr(by_df)
    logs = by_df.log().values[tokenizer.get_vocab()["cats"]]
    assert logs == pytest.approx(math.log(counted.values[tokenizer.get_vocab()["cats"]]))


def test_a_table_of_another_vocabulary_is_refused(model) -> None:
    with pytest.raises(ValueError, match="knows no piece of this vocabulary.*Katze"):
        TokenIdf.of_table(model.tokens.tokenizer, {"Katze": 3.0})


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_every_fast_tokenizer_will_do(family) -> None:
    tokenizer = load(*tiny(family)).tokens.tokenizer
    assert TokenIdf.of_documents(tokenizer, DOCUMENTS).is_known.sum() >= 6


def test_planted_idf_is_that_of_the_collection_counted_anew(planted, known) -> None:
    counted = TokenIdf.of_documents(planted.tokenizer, collection().documents.values())
    both = ~counted.values.isnan() & ~known.values.isnan()
    assert both.sum() > 1000
    torch.testing.assert_close(counted.values[both], known.values[both])
