"""Each part of the planted decoder does what it is said to do, and is alone in doing it."""

import pytest
import torch
from planted_edges import assert_edges_matter
from torch import Tensor

from crosslens import (
    ablate,
    CrossEncoder,
    head,
    Hook,
    load,
    neuron,
    Pairs,
    plant,
    Segment,
    Site,
    sweep,
    Unit,
)
from crosslens.planted import Planted
from crosslens.planted.causal.space import C, CausalSpace


QUERY = "people of the river people"
DOCUMENT = "the people by the river and other people of the town by the river , people"


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant("causal?seed=5&layers=5&decoys=3&fakes=6&k1=1.5")


@pytest.fixture(scope="module")
def model(planted: Planted) -> CrossEncoder:
    return load(planted)


@pytest.fixture(scope="module")
def pairs(model: CrossEncoder) -> Pairs:
    return model.pair(QUERY, DOCUMENT, "a bus needs a road and a river")


def signal(model: CrossEncoder, name: str) -> Tensor:
    """What reads a signal from the stream."""
    return CausalSpace(model.cfg.d_model).read(name)


def occurrences(terms: list[str]) -> list[int]:
    """The how-manyth of its kind each term is."""
    return [terms[: i + 1].count(term) for i, term in enumerate(terms)]


def test_rms_norm_changes_nothing(model, pairs):
    with model.record("resid_mid", "normalized_resid_mid") as cache:
        model(pairs)
    for layer in range(model.cfg.n_layers):
        before, after = cache[Site("resid_mid", layer)], cache[Site("normalized_resid_mid", layer)]
        assert (before[..., -1] == C).all() and before[..., :-1].abs().max() > 1
        torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-6)


def test_no_position_turns_anything(planted):
    rotary = planted.model.model.rotary_emb
    cos, sin = rotary(torch.zeros(1), torch.arange(512)[None])
    assert (cos == 1).all() and 0 < sin.abs().max() < 1e-9


def test_a_token_is_of_the_document_if_it_can_see_a_separator(planted, model, pairs):
    layer, _ = planted.placement.segment
    with model.record("resid_post") as cache:
        model(pairs)
    found = cache[Site("resid_post", layer)] @ signal(model, "document")
    expected = pairs.where("sep1", "document", "sep2").float()
    attended = pairs.attended
    torch.testing.assert_close(found[attended], expected[attended], rtol=0, atol=1e-6)


def test_matching_heads_read_what_is_left_before_and_after_each_occurrence(planted, model, pairs):
    terms, query = planted.terms(DOCUMENT), planted.terms(QUERY)
    with model.record("z", "result") as cache:
        model(pairs)
    place = pairs.where("document")[0].nonzero()[:, 0]
    tf, k1 = signal(model, "tf"), 1.5
    left = []
    for (layer, i), sign in zip(planted.placement.matchers, (1, -1), strict=True):
        left.append(sign * cache[head(layer, i, "result")][0, place] @ tf)
    k = torch.tensor(occurrences(terms)).float()
    idf = torch.tensor([planted.frequencies.idf(term) * (term in query) for term in terms])
    assert k.max() == 4 and (idf == 0).any()
    torch.testing.assert_close(left[0], idf * k1 / (k - 1 + k1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(left[1], idf * k1 / (k + k1), rtol=1e-4, atol=1e-5)


def test_decoys_attend_as_a_matching_head_does_and_write_nothing(planted, model, pairs):
    layer, i = planted.placement.matchers[1]
    with model.record("pattern", "z", "result") as cache:
        model(pairs)
    expected = cache[Site("pattern", layer)][:, i]
    assert len(planted.placement.decoy_heads) == 3
    for decoy, number in planted.placement.decoy_heads:
        found = cache[Site("pattern", decoy)][:, number]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
        assert cache[head(decoy, number)].abs().max() > 0.5
        assert cache[head(decoy, number, "result")].abs().max() == 0
    assert cache[head(layer, i, "result")].abs().max() > 0.5


def test_the_repetition_neuron_fires_where_the_query_repeats_itself(planted, model, pairs):
    with model.record("mlp_post") as cache:
        model(pairs)
    fires = cache[neuron(*planted.placement.repetition_neuron)][0]
    place = pairs.where("query")[0].nonzero()[:, 0]
    again = torch.tensor(occurrences(planted.terms(QUERY))) > 1
    assert again.tolist() == [False, False, False, False, True]
    assert (fires[place] > 0.999).equal(again) and (fires[place][~again] == 0).all()
    others = (pairs.segment[0] != Segment.QUERY) & pairs.attended[0]
    assert fires[others].abs().max() == 0


def test_the_rarity_neuron_multiplies_idf_by_being_of_the_query(planted, model, pairs):
    with model.record("mlp_post") as cache:
        model(pairs)
    found = cache[neuron(*planted.placement.rarity)][0]
    place = pairs.where("query")[0].nonzero()[:, 0]
    idf = torch.tensor([planted.frequencies.idf(term) for term in planted.terms(QUERY)])
    torch.testing.assert_close(found[place], idf, rtol=1e-5, atol=1e-6)
    others = (pairs.segment[0] != Segment.QUERY) & pairs.attended[0]
    assert found[others].abs().max() == 0


def test_the_scoring_head_adds_up_the_document(planted, model, pairs):
    unit = head(*planted.placement.scoring)
    layer, number = planted.placement.scoring
    with model.record("pattern") as cache:
        model(pairs)
    rows = torch.arange(len(pairs))
    pattern = cache[Site("pattern", layer)][:, number][rows, pairs.scored]
    shares = pattern[pairs.where("document")]
    torch.testing.assert_close(shares / shares[0], torch.ones_like(shares), rtol=1e-4, atol=0)
    assert pattern[pairs.where("query")].max() < 1e-10 * shares[0]
    silenced = sweep(model, pairs, [ablate(unit)])[0]
    assert model(pairs)[0] > 1 and silenced.abs().max() < 1e-5


def test_decoy_neurons_fire_and_are_not_read(planted, model, pairs):
    decoys = [neuron(*place) for place in planted.placement.decoy_neurons]
    with model.record("mlp_post") as cache:
        plain = model(pairs)
    assert len(decoys) == 6 and all(cache[unit].abs().max() > 0.1 for unit in decoys)
    scores = sweep(model, pairs, [[ablate(unit) for unit in decoys]])[0]
    torch.testing.assert_close(scores, plain, rtol=1e-5, atol=1e-5)


def test_idf_lies_along_one_direction_and_query_tokens_read_it(planted, model):
    direction = planted.circuit.directions["idf"]
    assert direction.norm() == 1
    weights = model.embedding.words.weight
    terms = planted.tokenizer.convert_ids_to_tokens(range(len(weights)))
    known = [i for i, term in enumerate(terms) if term in planted.frequencies.df]
    idf = torch.tensor([planted.frequencies.idf(terms[i]) for i in known])
    torch.testing.assert_close(weights[known] @ direction, idf)
    pairs = model.pair("river", DOCUMENT)
    plain = model(pairs)
    for where, factor in (("query", 3.0), ("document", 1.0)):
        extra = 2 * planted.frequencies.idf("river") * direction
        with model.hooked(Hook(Site("embed").at(pos=where), lambda x, more=extra: x + more)):
            torch.testing.assert_close(model(pairs), factor * plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_exactly_the_planted_edges_matter(seed):
    """Take from each reader what each writer gives it: the score changes for the planted
    edges and for no other, of the embeddings, all heads and all neurons that fire."""
    planted = plant(f"causal?seed={seed}&layers=4&heads=3&fakes=3&neurons=6&decoys=2")
    model = load(planted)
    pairs = model.pair(QUERY, DOCUMENT, "the river and the other river")
    with model.record(*model.sites()) as cache:
        model(pairs)

    at = planted.placement
    fires = [neuron(*place) for place in (at.repetition_neuron, at.rarity, *at.decoy_neurons)]
    embedding = Site("embed").at()
    senders = [embedding, *model.heads(), *fires]
    receivers = [
        *(unit for site in "qkv" for unit in model.heads(site)),
        *(
            Site(name, unit.site.layer).at(**dict(unit.coordinates))
            for unit in fires
            for name in ("mlp_pre", "mlp_pre_linear")
        ),
        Site("logits").at(),
    ]

    def gives(sender: Unit) -> Tensor:
        """What the sender adds to the stream, but for the constant."""
        if sender == embedding:
            return cache[sender] - CausalSpace(model.cfg.d_model).constant
        if sender.site.name == "z":
            return cache[head(sender.site.layer, dict(sender.coordinates)["head"], "result")]
        layer, i = sender.site.layer, dict(sender.coordinates)["neuron"]
        return (
            cache[sender][..., None] * planted.model.model.layers[layer].mlp.down_proj.weight[:, i]
        )

    def takes(receiver: Unit, given: Tensor) -> Tensor:
        """What the receiver makes of it: every norm between them is the identity."""
        if receiver.site.name == "logits":
            return given[torch.arange(len(pairs)), pairs.scored] @ planted.model.score.weight.T
        block, ((_, i),) = model.blocks[receiver.site.layer], receiver.coordinates
        if receiver.site.name.startswith("mlp_pre"):
            mlp = planted.model.model.layers[receiver.site.layer].mlp
            reads = mlp.gate_proj if receiver.site.name == "mlp_pre" else mlp.up_proj
            return given @ reads.weight[i]
        reads = {"q": block.attn.W_Q, "k": block.attn.W_K, "v": block.attn.W_V}
        return given @ reads[receiver.site.name][i]

    def given(sender: Unit, receiver: Unit) -> Tensor:
        return takes(receiver, gives(sender))

    assert_edges_matter(planted, model, pairs, senders, receivers, given)
