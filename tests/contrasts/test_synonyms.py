"""Words close in meaning: nearest in the embeddings, but whole words and no forms of the term."""

import pytest
import torch
from tiny import BERT_LIKE, tokenizer, WORDS

from crosslens.contrasts.synonyms import are_inflections, LISTED, Neighbours


@pytest.fixture
def near():
    """Embeddings in which city is nearest to town, then car, then zebra's pieces."""
    made = tokenizer(BERT_LIKE)
    vocab = made.get_vocab()
    embedding = torch.randn(len(vocab), 8, generator=torch.Generator().manual_seed(0))
    embedding[vocab["town"]] = torch.eye(8)[0]
    embedding[vocab["city"]] = torch.eye(8)[0] + 0.1 * torch.eye(8)[1]
    embedding[vocab["car"]] = torch.eye(8)[0] + 0.5 * torch.eye(8)[2]
    embedding[vocab["cats"]] = torch.eye(8)[0] * 9  # longer, no nearer: cosine, not dot product
    embedding[vocab["cats"], 3] = 8.0
    return Neighbours(made, embedding)


def test_the_nearest_word_is_proposed(near):
    assert near("town", WORDS) == "city"
    assert near("town", ["zebra", "cats", "car"]) == "car"


def test_a_form_of_the_term_is_no_synonym(near):
    assert near("city", ["town", "city"]) == "town"
    assert near("city", ["city"]) is None


def test_words_of_several_tokens_or_none_are_not_proposed(near):
    assert near("town", ["zebra", "!"]) is None


def test_a_term_of_several_tokens_stands_at_the_mean_of_them(near):
    ids = near.tokenizer("zebra", add_special_tokens=False)["input_ids"]
    assert len(ids) > 1
    mean = near.embedding[ids].mean(dim=0)
    vocab = near.tokenizer.get_vocab()
    rows = near.embedding[[vocab[word] for word in WORDS]]
    best = torch.cosine_similarity(rows, mean[None], dim=1).argmax()
    assert near("zebra", WORDS) == WORDS[best]


def test_inflections_share_their_beginning():
    for one, other in (("cat", "cats"), ("law", "laws"), ("purr", "purring"), ("city", "city")):
        assert are_inflections(one, other) and are_inflections(other, one)
    for one, other in (("cat", "dog"), ("car", "city"), ("cost", "price")):
        assert not are_inflections(one, other)


def test_listed_synonyms_are_other_words():
    assert all(
        term != other and term.isalpha() and other.isalpha() for term, other in LISTED.items()
    )
