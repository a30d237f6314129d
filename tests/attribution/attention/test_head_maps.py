"""The maps of heads in every family: what they say of scores and writes, and refusals."""

import pytest
import torch

from crosslens import head, Site
from crosslens.attention import HeadMap, keys_of_bias, ov_map, qk_map


def test_ov_is_what_a_head_writes_of_what_it_reads(any_model, pairs_of):
    any_model.double()
    pairs = pairs_of(any_model)
    reads = Site("normalized_resid_pre" if any_model.cfg.norm == "pre" else "resid_pre", 1)
    with torch.no_grad(), any_model.record(reads, Site("pattern", 1), Site("result", 1)) as cache:
        any_model(pairs)
    pattern, result = cache[Site("pattern", 1)][:, 2], cache[Site("result", 1)][:, :, 2]
    written = pattern @ (cache[reads] @ ov_map(any_model, head(1, 2)).matrix)
    bias = result - written  # that of the values, the same for all tokens
    assert (bias - bias[0, 0]).abs().max() < 1e-10


def test_qk_is_what_scores_depend_on(model, pairs):
    model.double()
    sites = [Site("resid_pre", 1), Site("attn_scores", 1)]
    with torch.no_grad(), model.record(*sites) as cache:
        model(pairs)
    x, scores = (cache[site] for site in sites)
    by_map = x @ qk_map(model, head(1, 2)).matrix @ x.mT
    by_map = by_map + (x @ keys_of_bias(model, head(1, 2)))[:, None, :]
    there = pairs.attended
    for p in range(len(pairs)):
        gap = (scores[p, 2] * 6**0.5 - by_map[p])[there[p]][:, there[p]]
        assert (gap - gap[:, :1]).abs().max() < 1e-9  # the bias of the keys, alike for all


@pytest.mark.parametrize("family", ["modernbert", "deberta-v2"])
def test_scores_that_depend_on_positions_have_no_single_map(any_model):
    with pytest.raises(NotImplementedError, match=r"0.z\[head=1\] reads depends on positions"):
        qk_map(any_model, head(0, 1))


def test_eigenvalues_and_singular_directions_are_those_of_the_whole_matrix():
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 9, 3, generator=generator, dtype=torch.float64)
    found = HeadMap(left, right)
    whole = torch.linalg.eigvals(found.matrix)
    assert found.positivity == pytest.approx((whole.real.sum() / whole.abs().sum()).item())
    at = found.singular
    torch.testing.assert_close(at.U * at.S @ at.V.T, found.matrix)
    assert HeadMap(left, left).positivity == pytest.approx(1)
    assert HeadMap(left, -left).positivity == pytest.approx(-1)
    into, out = found.alignment(at.V[:, 0], k=1)
    assert out == pytest.approx(1) and into < 1
    with pytest.raises(ValueError, match=r"the stream is 9 wide, the direction \(4,\)"):
        found.alignment(torch.ones(4))


def test_what_is_no_head_has_no_weights(model):
    with pytest.raises(ValueError, match="mlp_out is no attention head"):
        model.weights(Site("mlp_out", 1).at())
    with pytest.raises(LookupError, match="head has 4"):
        model.weights(head(1, 4))
    with pytest.raises(LookupError, match="layers 0 to 2"):
        model.weights(head(3, 0))


@pytest.fixture
def pairs_of():
    texts = ("cats purr when they rest", "the engine of a car , and the cats of the town , purr")
    return lambda model: model.pair("why do cats purr", *texts)
