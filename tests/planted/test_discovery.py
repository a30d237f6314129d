"""Patching finds the planted heads and edges, all of them and no others; attention does not."""

import pytest
import torch
from jaxtyping import Float
from planted_edges import assert_edges_matter
from torch import Tensor

from crosslens import (
    ablate,
    Axioms,
    collection,
    Contrast,
    CrossEncoder,
    head,
    load,
    neuron,
    Pairs,
    patching,
    plant,
    Segment,
    Site,
    Unit,
)
from crosslens.planted import Planted
from crosslens.stats import auroc


NAMES = [f"bm25?seed={seed}&layers={4 + seed % 3}&decoys=5" for seed in range(6)]


def added_term(model: CrossEncoder) -> Contrast:
    """Passages with one more occurrence of a query term, against filler of equal length."""
    return Axioms(model, collection()).tfc1(8)


def attention_to_matches(model: CrossEncoder, pairs: Pairs) -> Float[Tensor, " head"]:
    """What share of their attention query tokens give to equal document tokens, per head."""
    with model.record("pattern") as cache:
        model(pairs)
    query = (pairs.segment == Segment.QUERY)[:, :, None]
    document = (pairs.segment == Segment.DOCUMENT)[:, None, :]
    match = query & document & (pairs.token[:, :, None] == pairs.token[:, None, :])
    matched = match.any(dim=2).sum()
    layers = cache.layers("pattern")
    return ((layers * match[:, None]).sum(dim=(1, 3, 4)) / matched).flatten()


@pytest.fixture(scope="module", params=NAMES)
def planted(request) -> Planted:
    return plant(request.param)


def test_patching_finds_the_planted_heads_and_attention_the_decoys(planted):
    model = load(planted)
    contrast, units = added_term(model), model.heads()
    is_true = torch.tensor([unit in planted.circuit for unit in units])
    assert is_true.sum() == 2
    effect = patching(model, contrast, units).mean
    torch.testing.assert_close(effect[is_true], torch.ones(2), rtol=1e-3, atol=1e-3)
    assert effect[~is_true].abs().max() < 1e-4
    assert auroc(effect.numpy(), is_true.numpy()) == 1

    fakes = {head(*place) for place in planted.placement.decoy_heads}
    is_decoy = torch.tensor([unit in fakes for unit in units])
    attends = attention_to_matches(model, contrast.more)
    (matching,) = planted.circuit.roles["matching"]
    assert is_decoy.sum() == 5
    assert (attends[is_decoy] > 0.999 * attends[units.index(matching)]).all()
    assert auroc(attends.numpy(), is_true.numpy()) < 0.9


def test_redundant_heads_are_found_by_what_they_add_not_by_what_is_lost_without_one():
    planted = plant("bm25?backup&layers=6&decoys=5&seed=1")
    model = load(planted)
    contrast, units = added_term(model), model.heads()
    is_true = torch.tensor([unit in planted.circuit for unit in units])
    assert is_true.sum() == 3
    added = patching(model, contrast, units).mean
    assert auroc(added.numpy(), is_true.numpy()) == 1
    lost = patching(model, contrast.reversed, units)
    (first,), (backup,), (scoring,) = (
        planted.circuit.roles[role] for role in ("matching", "backup matching", "relevance scoring")
    )
    # not 0: where filler is a term of the query too, its larger tf is the one that counts
    assert lost.of(first).abs().max() < 0.05 and lost.of(backup).abs().max() < 0.05
    torch.testing.assert_close(lost.of(scoring), torch.ones(8), rtol=1e-3, atol=1e-3)


def test_the_length_neuron_carries_all_that_length_does():
    planted = plant("bm25?seed=3&b=0.9")
    model = load(planted)
    document = "the heart of a large snake"
    short = model.pair("heart of a snake", document)
    long = model.pair("heart of a snake", document + " and so on" * 16)
    (unit,) = planted.circuit.roles["length"]
    with model.record(unit.site) as cache:
        before = model(short)
    at_the_end = unit.site.at(pos="sep2", **dict(unit.coordinates))
    with model.hooked(ablate(at_the_end, cache[unit][0, -1])):
        patched = model(long)
    torch.testing.assert_close(patched, before, rtol=1e-4, atol=1e-4)
    assert model(long) < 0.8 * before


@pytest.mark.parametrize("options", ["decoys=2", "decoys=1&contextual", "matchers=2&suppressor"])
def test_exactly_the_planted_edges_matter(options, drawn):
    """Take from each reader what each writer gives it: the score changes for the planted
    edges and for no other, of all embeddings, heads and firing neurons."""
    planted = plant(f"bm25?seed=2&layers=5&heads=2&fakes=3&{options}")
    model = load(planted)
    query, documents = drawn(5, 3, most_passages=1)
    pairs = model.pair(query, *documents)
    with model.record(*model.sites()) as cache:
        model(pairs)

    fires = [
        neuron(*planted.placement.length),
        *(neuron(*at) for at in planted.placement.decoy_neurons),
    ]
    embeddings = [Site(name).at() for name in ("embed", "token_type_embed", "pos_embed")]
    senders = [*embeddings, *model.heads(), *fires]
    receivers = [
        *(unit for site in "qkv" for unit in model.heads(site)),
        *(Site("mlp_pre", unit.site.layer).at(**dict(unit.coordinates)) for unit in fires),
        Site("logits").at(),
    ]

    def gives(sender: Unit) -> Tensor:
        """What the sender adds to the stream."""
        if sender in embeddings:
            return cache[sender]
        if sender.site.name == "z":
            return cache[head(sender.site.layer, dict(sender.coordinates)["head"], "result")]
        block, i = model.blocks[sender.site.layer], dict(sender.coordinates)["neuron"]
        return cache[sender][..., None] * block.mlp.w_out.weight[:, i]

    def takes(receiver: Unit, given: Tensor) -> Tensor:
        """What the receiver makes of it: every LayerNorm between them is the identity."""
        if receiver.site.name == "logits":
            return (
                model.head.out.weight[:, :1]
                * (given[:, :1] @ model.head.hidden[0].weight[:1].T)[:, 0]
            )
        block, ((_, i),) = model.blocks[receiver.site.layer], receiver.coordinates
        if receiver.site.name == "mlp_pre":
            return given @ block.mlp.w_in.weight[i]
        reads = {"q": block.attn.W_Q, "k": block.attn.W_K, "v": block.attn.W_V}
        return given @ reads[receiver.site.name][i]

    def given(sender: Unit, receiver: Unit) -> Tensor:
        return takes(receiver, gives(sender))

    assert_edges_matter(planted, model, pairs, senders, receivers, given)
