"""What the scoring head reads: rarity, and what was matched; and the maps it does that with."""

import numpy as np
import pytest
import torch

from crosslens import Axioms, collection, CrossEncoder, direct_attribution, head, load, Pairs, plant
from crosslens.attention import (
    attention_follows,
    attention_shares,
    keys_of_bias,
    ov_map,
    qk_map,
    soft_tf,
)
from crosslens.planted import Planted
from crosslens.planted.space import Space


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant("bm25?seed=4&layers=4&heads=3&neurons=4&decoys=2")


@pytest.fixture(scope="module")
def model(planted) -> CrossEncoder:
    return load(planted).double()


@pytest.fixture(scope="module")
def pairs(model) -> Pairs:
    return Axioms(model, collection()).tfc1(4).more


@pytest.fixture(scope="module")
def scoring(planted, model) -> int:
    """Its place among all heads."""
    return model.heads().index(head(*planted.placement.scoring))


@pytest.fixture(scope="module")
def idf(planted, model, pairs) -> torch.Tensor:
    """Of every token, by what was planted."""
    pieces = [model.tokens.tokenizer.convert_ids_to_tokens(row.tolist()) for row in pairs.token]
    known = planted.frequencies
    return torch.tensor([[known.idf(piece) for piece in row] for row in pieces]).double()


def test_the_scoring_head_follows_rarity_and_no_other_does(model, pairs, scoring, idf):
    r = attention_follows(model, pairs, idf)
    assert (r[scoring] > 0.9999).all()
    others = [i for i in range(len(r)) if i != scoring]
    assert not (r[others].nan_to_num() > 0.99).any()
    counts = soft_tf(model, pairs).sum(dim=(0, 1)).double()
    assert (attention_follows(model, pairs, counts)[scoring].nan_to_num() < 0.99).all()


def test_it_reads_the_query_and_itself_and_nothing_else(model, pairs, scoring):
    shares = attention_shares(model, pairs)
    assert torch.stack(list(shares.values())).sum(dim=0) == pytest.approx(1)
    read = {name: share[scoring] for name, share in shares.items()}
    assert (read["cls"] + read["query"] > 1 - 1e-6).all() and (read["query"] > 1e-6).all()
    matching_like = attention_shares(model, pairs, dst="query", src=("document",))["document"]
    assert (matching_like[scoring] < 1e-6).all()


def test_what_it_takes_from_each_token_adds_up_to_the_score(planted, model, pairs, scoring, idf):
    found = direct_attribution(model, pairs)
    with torch.no_grad():
        score = model(pairs)
    assert found[scoring].sum(dim=1) == pytest.approx(score, rel=1e-3)
    others = [i for i in range(len(found)) if i != scoring]
    assert found[others].abs().max() < 1e-3 * score.abs().max()
    query = pairs.where("query")
    assert found[scoring][~query].abs().max() < 1e-3 * score.abs().max()
    layer, index = planted.placement.matching
    terms = idf * soft_tf(model, pairs)[layer, index]  # BM25's, token by token
    torch.testing.assert_close(found[scoring][query], terms[query], rtol=1e-2, atol=1e-3)


def test_the_maps_of_the_planted_heads(planted, model):
    space, at = Space(model.cfg.d_model), planted.placement
    matching, scoring = head(*at.matching), head(*at.scoring)
    looks = qk_map(model, matching)
    assert looks.positivity == pytest.approx(1)  # each token looks for its own code
    k = len(space.code)
    assert looks.alignment(space.code[3], k) == (pytest.approx(1), pytest.approx(1))
    assert max(looks.alignment(space.write("tf"), k)) < 1e-6
    writes = ov_map(model, matching)
    assert writes.alignment(space.write("tf"))[1] == pytest.approx(1)
    taken = space.write("document") - space.write("sep")
    assert writes.alignment(taken)[0] == pytest.approx(1)
    assert np.isnan(writes.positivity)  # what it writes it does not read
    # the scoring head asks the same of everybody: its query is a bias
    assert qk_map(model, scoring).matrix.abs().max() == 0
    asks = keys_of_bias(model, scoring)
    at_idf, at_document = (asks @ space.write(name).double() for name in ("idf", "document"))
    assert at_idf > 0 > at_document
    assert ov_map(model, scoring).alignment(space.write("tf"))[0] == pytest.approx(1)
