"""Patching finds the planted heads and edges, all of them and no others; attention does not."""

from itertools import product

import pytest
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from crosslens import (
    CrossEncoder,
    Edge,
    head,
    Hook,
    load,
    neuron,
    Pairs,
    plant,
    recovery,
    Segment,
    Site,
    sweep,
    Unit,
)
from crosslens.planted import Planted


NAMES = [f"bm25?seed={seed}&layers={4 + seed % 3}&decoys=5" for seed in range(6)]
FILLER = "quartz"


def auroc(value: Float[Tensor, " unit"], is_true: Bool[Tensor, " unit"]) -> float:
    """How often a true unit has a larger value than another one; a tie is half."""
    above = value[is_true][:, None] - value[~is_true][None]
    return ((above > 0).float() + 0.5 * (above == 0).float()).mean().item()


def contrast(model: CrossEncoder, drawn) -> tuple[Pairs, Pairs]:
    """Documents that end with a filler, and the same that end with a term of the query."""
    base, more = [], []
    for seed in range(4):
        query, documents = drawn(seed, 2, most_passages=1)
        words = model.tokens.tokenizer.tokenize(query)
        term = max((w for w in words if not w.startswith("##")), key=len)
        base += [(query, f"{document} {FILLER}") for document in documents]
        more += [(query, f"{document} {term}") for document in documents]
    pairs = [model.pairs(*zip(*each, strict=True)) for each in (base, more)]
    assert torch.equal(pairs[0].segment, pairs[1].segment)  # of equal length
    return pairs[0], pairs[1]


def recovered(
    model: CrossEncoder, base: Pairs, more: Pairs, units: list[Unit]
) -> Float[Tensor, "unit pair"]:
    """How much of the added term's effect each unit of `more` brings to `base`."""
    with model.record(*{unit.site for unit in units}) as cache:
        target = model(more)

    def put(unit: Unit) -> Hook:
        value = cache[unit]
        return Hook(unit, lambda old: value.repeat(len(old) // len(value), 1, 1))

    patched = sweep(model, base, [put(unit) for unit in units])
    return recovery(patched, model(base), target)


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


def test_patching_finds_the_planted_heads_and_attention_the_decoys(planted, drawn):
    model = load(planted)
    base, more = contrast(model, drawn)
    units = model.heads()
    is_true = torch.tensor([unit in planted.circuit for unit in units])
    assert is_true.sum() == 2
    effect = recovered(model, base, more, units).mean(dim=1)
    torch.testing.assert_close(effect[is_true], torch.ones(2), rtol=1e-3, atol=1e-3)
    assert effect[~is_true].abs().max() < 1e-4
    assert auroc(effect, is_true) == 1

    decoys = torch.tensor(
        [unit in {head(*at) for at in planted.placement.decoy_heads} for unit in units]
    )
    attends = attention_to_matches(model, more)
    matching = attends[units.index(*planted.circuit.roles["matching"])]
    assert (attends[decoys] > 0.999 * matching).all() and decoys.sum() == 5
    assert auroc(attends, is_true) < 0.9


def test_both_of_two_redundant_heads_are_found_by_what_they_add(drawn):
    planted = plant("bm25?backup&layers=6&decoys=5&seed=1")
    model = load(planted)
    base, more = contrast(model, drawn)
    units = model.heads()
    is_true = torch.tensor([unit in planted.circuit for unit in units])
    assert is_true.sum() == 3
    assert auroc(recovered(model, base, more, units).mean(dim=1), is_true) == 1
    # but by what is lost without them neither is: each covers for the other
    lost = recovered(model, more, base, units).mean(dim=1)
    silent = [
        unit for role in ("matching", "backup matching") for unit in planted.circuit.roles[role]
    ]
    assert all(lost[units.index(unit)].abs() < 1e-3 for unit in silent)


def test_without_a_contrast_there_is_nothing_to_find(drawn):
    model = load("planted:bm25")
    base, _ = contrast(model, drawn)
    with pytest.raises(ValueError, match="no contrast to recover"):
        recovered(model, base, base, model.heads())


def test_exactly_the_planted_edges_matter(drawn):
    """Take from each reader what each writer gives it: the score changes for the planted
    edges and for no other, of all embeddings, heads and firing neurons."""
    planted = plant("bm25?seed=2&layers=4&heads=2&decoys=2&fakes=3")
    model = load(planted)
    query, documents = drawn(5, 3, most_passages=1)
    pairs = model.pair(query, *documents)
    with model.record(*model.sites()) as cache:
        plain = model(pairs)

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

    def removed(edge: Edge) -> Hook:
        taken = takes(edge.receiver, gives(edge.sender))
        return Hook(
            edge.receiver,
            lambda old: old - taken.repeat(len(old) // len(taken), *[1] * (taken.dim() - 1)),
        )

    def can_read(sender: Unit, receiver: Unit) -> bool:
        return sender.site.depth < receiver.site.depth

    possible = [Edge(s, r) for s, r in product(senders, receivers) if can_read(s, r)]
    assert planted.circuit.edges <= set(possible)
    scores = sweep(model, pairs, [removed(edge) for edge in possible])
    matters = (scores - plain).abs().amax(dim=1) > 1e-2
    found = {edge for edge, is_found in zip(possible, matters.tolist(), strict=True) if is_found}
    assert found == planted.circuit.edges
    assert (scores - plain).abs().amax(dim=1)[~matters].max() < 1e-3
