"""Soft term frequency: the sum it says it is, and what a planted head makes of a count."""

import torch

from crosslens import CrossEncoder, load, Pairs, plant
from crosslens.attention import soft_tf


def test_it_is_the_attention_from_query_to_document(model: CrossEncoder, pairs: Pairs) -> None:
    found = soft_tf(model, pairs)
    with model.record("pattern") as cache:
        model(pairs)
    for i in range(len(pairs)):
        query, document = pairs.where("query")[i], pairs.where("document")[i]
        own = cache.layers("pattern")[:, i][..., document].sum(dim=-1)
        torch.testing.assert_close(found[:, :, i, query], own[..., query])
        assert not found[:, :, i, ~query].any()


def test_the_last_separator_counts_only_where_asked(model: CrossEncoder, pairs: Pairs) -> None:
    wide = soft_tf(model, pairs, src=("document", "sep2"))
    assert (wide >= soft_tf(model, pairs)).all() and (wide > soft_tf(model, pairs)).any()


def test_a_planted_matching_head_saturates_as_bm25_does() -> None:
    planted = plant("bm25?seed=1&b=0")
    model = load(planted)
    k1 = planted.recipe.k1
    pairs = model.pair("canoe", *(f"{'canoe ' * tf}{'road ' * (6 - tf)}" for tf in range(1, 6)))
    (member,) = planted.circuit.roles["matching"]
    layer, index = member.site.layer, dict(member.coordinates)["head"]
    counted = soft_tf(model, pairs)[layer, index].sum(dim=-1)
    n_pieces = int(pairs.where("query")[0].sum())
    tf = torch.arange(1.0, 6.0)
    torch.testing.assert_close(counted / n_pieces, tf / (tf + k1), atol=1e-3, rtol=0)
