"""Attention summed by segments is the sum it says it is, in every family."""

import torch

from crosslens import CrossEncoder, Hook
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
        readable = [dst + 1 if any_model.is_causal else length for dst in places]
        others = [sum(src < n for src in places) - 1 for n in readable]
        even = sum(n / of for n, of in zip(others, readable, strict=True)) / len(places)
        expected = torch.stack(given).mean(dim=0).flatten() - even
        torch.testing.assert_close(found[:, i], expected)


def test_attention_spread_evenly_is_0(any_model: CrossEncoder) -> None:
    pairs = any_model.pair("why do cats purr", "cats purr when they rest", "the car , and the cats")
    there = pairs.attended[:, None, None, :].float().expand(-1, -1, pairs.token.shape[1], -1)
    if any_model.is_causal:
        there = there.tril()
    even = there / there.sum(dim=-1, keepdim=True)
    hooks = [Hook(site.at(), lambda p: even.expand_as(p)) for site in any_model.sites("pattern")]
    with any_model.hooked(*hooks):
        assert attention_within_query(any_model, pairs).abs().max() < 1e-6
