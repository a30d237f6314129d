"""A reader of shorter pairs: the same tokens where a pair fits, fewer where it does not."""

import torch

from crosslens.contrasts import Shortened


def test_a_shortened_reader_cuts_no_pair_that_fits(model):
    short = Shortened(model, 24)
    query, document = "why do cats purr", "cats purr when they rest"
    assert torch.equal(
        short.pairs([query], [document]).token, model.pairs([query], [document]).token
    )
    cut = short.pairs([query], [" ".join([document] * 8)])
    assert cut.cut.item() > 0 and cut.lengths.item() == 24


def test_no_limit_is_longer_than_the_models_own(model):
    assert Shortened(model, 10_000).tokens.limit == model.tokens.limit
