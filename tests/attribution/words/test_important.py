"""The important tokens of a pair, and what query and document share of them."""

import pytest
import torch

from crosslens import CrossEncoder, Pairs
from crosslens.attribution.words.important import important_tokens, shared_types
from crosslens.attribution.words.word_attribution import WordAttribution


@pytest.fixture
def attribution(pairs: Pairs) -> WordAttribution:
    """Later tokens are larger."""
    value = torch.arange(pairs.token.shape[1]).float().expand(pairs.token.shape)
    return WordAttribution("position", pairs, value.clone())


def test_the_largest_tokens_of_texts_are_important(attribution: WordAttribution) -> None:
    chosen = important_tokens(attribution, 2)
    pairs = attribution.pairs
    for i, length in enumerate(pairs.lengths.tolist()):
        assert chosen[i].nonzero().flatten().tolist() == [length - 3, length - 2]


def test_of_a_short_pair_all_words_are_important(attribution: WordAttribution) -> None:
    pairs = attribution.pairs
    assert torch.equal(important_tokens(attribution, 500), pairs.where("query", "document"))
    with pytest.raises(ValueError, match="0 important tokens"):
        important_tokens(attribution, 0)


def test_shared_types_are_those_of_both_texts(model: CrossEncoder) -> None:
    pairs = model.pair("cats purr", "cats rest cats", "an engine")
    whole = WordAttribution("none", pairs, torch.zeros(pairs.token.shape))
    everything = pairs.where("query", "document")
    assert shared_types(whole, everything) == pytest.approx([1 / 3, 0.0])
    nothing = torch.zeros_like(everything)
    assert all(value != value for value in shared_types(whole, nothing))  # nan
