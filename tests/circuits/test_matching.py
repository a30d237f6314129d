import pytest
import torch
from crosslens.circuits import bm25, matching

from crosslens import load, plant


PAIR = ("canoe paddle strokes", "a canoe needs paddle strokes , many strokes , and a river")


def test_matching_is_high_for_the_planted_head_and_its_decoys_and_low_for_the_rest():
    planted = plant("bm25?decoys=2")
    model = load(planted)
    found = matching.matching(model, model.pair(PAIR[0], PAIR[1], PAIR[1] * 2))
    looks = {planted.placement.matching, *planted.placement.decoy_heads}
    for layer, row in enumerate(found.tolist()):
        for head, value in enumerate(row):
            assert (value > 0.1) == ((layer, head) in looks), (layer, head, value)


def test_without_a_match_there_is_nothing_to_measure(model):
    with pytest.raises(ValueError, match="nothing to match"):
        matching.matching(model, model.pair("why do cats purr", "the engine of a car"))


def test_evenly_spread_attention_is_chance(model):
    with torch.no_grad():
        for block in model.blocks:
            for part in (block.attn.q, block.attn.k):
                part.weight.zero_()
                part.bias.zero_()
    found = matching.matching(model, model.pair("why do cats purr", "cats purr when they rest"))
    assert found.abs().max() < 1e-6


def test_the_published_members_lie_inside_the_published_checkpoint():
    assert len(bm25.SEMANTIC_BM25.roles["matching"]) == 13
    for unit in bm25.SEMANTIC_BM25:
        assert unit.site.layer < 12 and dict(unit.coordinates)["head"] < 12
