"""Attention summed by segments is the sum it says it is, in every family."""

import torch

from crosslens import CrossEncoder
from crosslens.attention import attention_within_query


def test_within_the_query_is_what_its_tokens_give_each_other_above_even(
    any_model: CrossEncoder,
) -> None:
    pairs = any_model.pair("why do cats purr", "cats purr when they rest", "the car , and the cats")
    found = attention_within_query(any_model, pairs)
    with any_model.record("pattern") as cache:
        any_model(pairs)
    for i, length in enumerate(pairs.lengths.tolist()):
        places = pairs.where("query")[i].nonzero().flatten().tolist()
        given = [
            cache.layers("pattern")[:, i, :, dst, [src for src in places if src != dst]].sum(-1)
            for dst in places
        ]
        even = (len(places) - 1) / length
        expected = torch.stack(given).mean(dim=0).flatten() - even
        torch.testing.assert_close(found[:, i], expected)


def test_attention_spread_evenly_is_0(model: CrossEncoder) -> None:
    with torch.no_grad():
        for block in model.blocks:
            for part in (block.attn.q, block.attn.k):
                part.weight.zero_()
                part.bias.zero_()
    pairs = model.pair("why do cats purr", "cats purr when they rest")
    assert attention_within_query(model, pairs).abs().max() < 1e-6
