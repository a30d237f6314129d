"""What one run shows without an intervention: attention to matches and its zero."""

import pytest
import torch

from crosslens import load, plant
from crosslens.discovery import attention_to_matches


PAIR = ("canoe paddle strokes", "a canoe needs paddle strokes , many strokes , and a river")


def test_attention_to_matches_is_high_for_the_planted_head_and_its_decoys_and_low_for_the_rest():
    planted = plant("bm25?decoys=2")
    model = load(planted)
    found = attention_to_matches(model, model.pair(PAIR[0], PAIR[1], PAIR[1] * 2))
    looks = {planted.placement.matching, *planted.placement.decoy_heads}
    for layer, row in enumerate(found.tolist()):
        for head, value in enumerate(row):
            assert (value > 0.1) == ((layer, head) in looks), (layer, head, value)


def test_it_is_the_mean_over_query_tokens_with_a_copy_in_every_family(any_model):
    pairs = any_model.pair("why do cats purr", "cats purr when they rest", "the car , and the cats")
    with any_model.record("pattern") as cache:
        any_model(pairs)
    above = []
    for i, length in enumerate(pairs.lengths.tolist()):
        # in a decoder the document reads the query, which stands before it
        reader, read = ("document", "query") if any_model.is_causal else ("query", "document")
        for dst in pairs.where(reader)[i].nonzero().flatten().tolist():
            same = (pairs.token[i] == pairs.token[i, dst]) & pairs.where(read)[i]
            if same.any():
                seen = cache.layers("pattern")[:, i, :, dst, same].sum(dim=-1)
                above.append(seen - same.sum() / length)
    torch.testing.assert_close(
        attention_to_matches(any_model, pairs), torch.stack(above).mean(dim=0)
    )


def test_without_a_match_there_is_nothing_to_measure(model):
    with pytest.raises(ValueError, match="nothing to match"):
        attention_to_matches(model, model.pair("why do cats purr", "the engine of a car"))


def test_evenly_spread_attention_is_chance(model):
    with torch.no_grad():
        for block in model.blocks:
            for part in (block.attn.q, block.attn.k):
                part.weight.zero_()
                part.bias.zero_()
    found = attention_to_matches(model, model.pair("why do cats purr", "cats purr when they rest"))
    assert found.abs().max() < 1e-6
