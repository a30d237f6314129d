"""The correlation of attention with likeness, against numpy's."""

import numpy as np
import pytest
import torch

from crosslens import Site
from crosslens.attention import attention_similarity


@pytest.mark.parametrize("at", [Site("embed"), Site("resid_pre", 1)])
@pytest.mark.parametrize("centre", [False, True])
def test_it_is_pearsons_r_over_the_token_pairs(model, pairs, at, centre):
    found = attention_similarity(model, pairs, at=at, centre=centre)
    with torch.no_grad(), model.record("pattern", at) as cache:
        model(pairs)
    patterns = cache.layers("pattern").flatten(0, 0)
    for p in range(len(pairs)):
        vector = cache[at][p].double()
        if centre:
            vector = vector - vector[pairs.attended[p]].mean(dim=0)
        vector = vector / vector.norm(dim=1, keepdim=True)
        i, j = pairs.where("query")[p], pairs.where("document")[p]
        likeness = (vector @ vector.T)[i][:, j].flatten().numpy()
        for unit, r in zip(model.heads(), found[:, p].tolist(), strict=True):
            layer, head = unit.site.layer, dict(unit.coordinates)["head"]
            attention = patterns[layer, p, head][i][:, j].flatten().double().numpy()
            assert r == pytest.approx(np.corrcoef(attention, likeness)[0, 1], abs=1e-6)


def test_a_head_that_does_not_read_the_document_has_no_correlation(model, pairs):
    with torch.no_grad():  # head 0.0 reads padding and separators alike: a huge pull to [SEP]
        model.blocks[0].attn.q.bias[:6] = 0
        model.blocks[0].attn.q.weight[:6] = 0
        model.blocks[0].attn.q.bias[0] = 1000
        sep = model.embedding(pairs)[0, pairs.where("sep2")[0]]
        model.blocks[0].attn.k.weight[0] = sep[0]
    r = attention_similarity(model, pairs)
    assert r[0].isnan().any() and not r[1].isnan().any()
