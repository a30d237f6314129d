import json

import pytest
import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertForSequenceClassification

from crosslens.default.training.vocabulary import (
    choose,
    count_pieces,
    is_letter,
    prune_model,
    prune_tokenizer,
    read_tokenizer,
)


@pytest.fixture(scope="module")
def full(backbone) -> Tokenizer:
    return read_tokenizer(backbone)


@pytest.fixture(scope="module")
def small(full) -> Tokenizer:
    seen = count_pieces(full, ["The zebra lives in the forest.", "the zebra sleeps"])
    return prune_tokenizer(full, choose(full.get_vocab(), [seen], size=90))


def test_latin_words_that_lost_their_piece_split_and_are_never_unknown(full, small):
    text = "The heron lives in the Meadow, naïve café 42."
    assert "heron" in full.encode(text).tokens  # the control: it was one piece
    tokens = small.encode(text).tokens
    assert "heron" not in tokens and "##e" in tokens
    assert "[UNK]" not in tokens


def test_frequent_words_stay_whole(small):
    assert "zebra" in small.encode("a zebra").tokens


def test_a_foreign_script_is_unknown(small):
    assert "[UNK]" in small.encode("漢字").tokens


def test_ids_are_consecutive_from_pad_and_special_tokens_keep_their_meaning(small):
    vocabulary = small.get_vocab()
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    assert vocabulary["[PAD]"] == 0
    pair = small.encode("zebra")
    assert pair.ids[0] == vocabulary["[CLS]"] and pair.ids[-1] == vocabulary["[SEP]"]
    added = json.loads(small.to_str())["added_tokens"]
    assert {token["content"]: token["id"] for token in added}.items() <= vocabulary.items()


def test_every_kept_piece_keeps_its_embedding(full, small):
    torch.manual_seed(0)
    old, new = full.get_vocab(), small.get_vocab()
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(old),
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=8,
        )
    )
    before = model.bert.embeddings.word_embeddings.weight.detach().clone()
    prune_model(model, old, new)
    after = model.bert.embeddings.word_embeddings.weight
    assert model.config.vocab_size == len(after) == len(new) < len(old)
    assert all(torch.equal(after[new[piece]], before[old[piece]]) for piece in new)


def test_a_piece_common_among_queries_is_kept_beside_larger_tables():
    vocabulary = {"[UNK]": 0, "cost": 1, "study": 2, "rare": 3}
    documents, queries = {"study": 900, "cost": 10, "rare": 20}, {"cost": 9, "rare": 1}
    assert choose(vocabulary, [documents, queries], size=3) == ["[UNK]", "cost", "study"]
    # the control: by documents alone the other piece would be next
    assert choose(vocabulary, [documents], size=3) == ["[UNK]", "study", "rare"]


def test_a_size_that_cannot_hold_the_letters_is_refused(full):
    with pytest.raises(ValueError, match="cannot hold the .* ask for more pieces"):
        choose(full.get_vocab(), [], size=20)


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        ("a", True),
        ("##ß", True),
        ("7", True),
        ("€", True),
        ("字", False),
        ("##я", False),
        ("ab", False),
    ],
)
def test_letters_are_single_characters_of_latin_script_digits_and_signs(piece, expected):
    assert is_letter(piece) is expected
