"""Each planted part does what it is said to do, and is alone in doing it."""

import numpy as np
import pytest
import torch

from crosslens import ablate, head, load, neuron, plant, Segment, Site, sweep, Unit
from crosslens.planted import Planted
from crosslens.signals.bm25 import bm25, saturation


QUERY = "the heart of a snake"


def only(planted: Planted, role: str) -> Unit:
    (unit,) = planted.circuit.roles[role]
    return unit


def number(unit: Unit) -> int:
    ((_, i),) = unit.coordinates
    assert isinstance(i, int)
    return i


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant("bm25?seed=5&layers=5&decoys=4&fakes=6")


def test_layer_norm_changes_nothing(planted, passages):
    model = load(planted)
    with model.record("resid_mid", "normalized_resid_mid") as cache:
        model(model.pair(QUERY, passages[4]))
    for layer in range(5):
        before, after = cache[Site("resid_mid", layer)], cache[Site("normalized_resid_mid", layer)]
        half = model.cfg.d_model // 2
        signals = [(x[..., :half] - x[..., half:]) / 2 for x in (before, after)]
        torch.testing.assert_close(*signals, rtol=1e-5, atol=1e-5)


def test_the_matching_head_reads_saturated_term_frequency(planted, passages):
    unit, model, document = only(planted, "matching"), load(planted), passages[4]
    pairs = model.pair(QUERY, document)
    with model.record("z") as cache:
        model(pairs)
    query, terms = planted.terms(QUERY), planted.terms(document)
    length = len(query) + len(terms)
    mean = planted.frequencies.mean_length
    expected = [saturation(terms.count(t), length, mean, k1=1.2, b=0.75) for t in query]
    found = cache[unit][0, 1 : 1 + len(query), 0]
    assert max(expected) > 0.7 and min(expected) < 0.3
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_the_scoring_head_attends_by_idf(planted, passages):
    unit, model = only(planted, "relevance scoring"), load(planted)
    pairs = model.pair(QUERY, *passages)
    with model.record("pattern") as cache:
        model(pairs)
    pattern = cache[Site("pattern", unit.site.layer)][:, number(unit), 0]
    query = pairs.segment == Segment.QUERY
    idf = torch.tensor([planted.frequencies.idf(term) for term in planted.terms(QUERY)])
    shares = pattern[query].reshape(len(passages), -1)
    torch.testing.assert_close(shares / shares.sum(1, True), (idf / idf.sum()).expand_as(shares))
    assert pattern[pairs.segment == Segment.DOCUMENT].max() < 1e-12


def test_without_the_length_neuron_length_does_not_count(planted, drawn):
    query, documents = drawn(3)
    model, frequencies = load(planted), planted.frequencies
    pairs = model.pair(query, *documents)
    found, plain = sweep(model, pairs, [ablate(only(planted, "length"))])[0], model(pairs)
    terms = [planted.terms(document) for document in documents]
    # K stays at k1 (1 - b), whatever the length: BM25 with that k1 and no b
    without = [bm25(planted.terms(query), d, frequencies, k1=1.2 * 0.25, b=0) for d in terms]
    np.testing.assert_allclose(found, without, rtol=1e-3, atol=1e-3)
    assert (found - plain).abs().max() > 0.1


def test_decoy_neurons_fire_and_do_nothing(planted, passages):
    model = load(planted)
    pairs = model.pair(QUERY, *passages)
    decoys = [neuron(*place) for place in planted.placement.decoy_neurons]
    with model.record("mlp_post") as cache:
        plain = model(pairs)
    assert len(decoys) == 6 and all(cache[unit].max() > 0.1 for unit in decoys)
    for scores in sweep(model, pairs, [ablate(unit) for unit in decoys]):
        torch.testing.assert_close(scores, plain, rtol=1e-5, atol=1e-5)
    others = [neuron(layer, i) for layer in range(5) for i in range(16)]
    idle = set(others) - set(decoys) - {only(planted, "length")}
    assert all(cache[unit].abs().max() == 0 for unit in idle)


def test_decoy_heads_have_the_pattern_of_the_matching_head_and_write_nothing(planted, passages):
    model, matching = load(planted), only(planted, "matching")
    with model.record("pattern", "z", "result") as cache:
        model(model.pair(QUERY, *passages))
    expected = cache[Site("pattern", matching.site.layer)][:, number(matching)]
    assert len(planted.placement.decoy_heads) == 4
    for layer, i in planted.placement.decoy_heads:
        torch.testing.assert_close(
            cache[Site("pattern", layer)][:, i], expected, rtol=1e-4, atol=1e-6
        )
        assert cache[head(layer, i)].abs().max() > 0.5
        assert cache[head(layer, i, "result")].abs().max() == 0
    assert cache[head(matching.site.layer, number(matching), "result")].abs().max() > 0.5


def test_the_contextual_head_tells_every_query_token_how_well_the_query_matches(passages):
    planted = plant("bm25?seed=1&contextual")
    unit, model = only(planted, "contextual query representation"), load(planted)
    pairs = model.pair(QUERY, *passages)
    with model.record("z", "result") as cache:
        model(pairs)
    query = slice(1, 1 + len(planted.terms(QUERY)))
    counts = cache[only(planted, "matching")][:, query, 0]
    idf = torch.tensor([planted.frequencies.idf(term) for term in planted.terms(QUERY)])
    expected = (counts * idf).sum(1, True) / idf.sum()
    found = cache[unit][:, query, 0]
    assert expected.max() > 0.3
    torch.testing.assert_close(found, expected.expand_as(found), rtol=1e-4, atol=1e-5)
    assert cache[unit][:, 0].abs().max() < 1e-6  # what [CLS] held would be part of the score


def test_the_suppressor_takes_back_what_the_matching_heads_say_too_much(passages):
    planted = plant("bm25?seed=1&layers=5&matchers=2&suppressor")
    suppressor = only(planted, "suppression")
    model, matchers = load(planted), sorted(planted.circuit.roles["matching"])
    pairs = model.pair(QUERY, *passages)
    assert len(matchers) == 2
    plain, members = model(pairs), (suppressor, *matchers)
    silenced = [[suppressor], [matchers[0]], [matchers[1]], members]
    scores = sweep(model, pairs, [[ablate(unit) for unit in units] for units in silenced])
    assert plain.max() > 1
    for found, share in zip(scores, (1.5, 0.25, 0.25, 0), strict=True):
        torch.testing.assert_close(found, share * plain, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_the_backup_takes_over_where_the_matching_head_is_ablate(seed, drawn):
    planted = plant(f"bm25?seed={seed}&backup&layers=6")
    model = load(planted)
    first, backup = only(planted, "matching"), only(planted, "backup matching")
    switch = only(planted, "backup switch")
    query, documents = drawn(seed)
    pairs = model.pair(query, *documents)
    with model.record("mlp_post") as cache:
        plain = model(pairs)
    # at matched query and document tokens alike: both heads agree to the last digits
    assert cache[switch].max() < 1e-5
    one, other, both = sweep(
        model, pairs, [ablate(first), ablate(backup), [ablate(first), ablate(backup)]]
    )
    torch.testing.assert_close(one, plain, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(other, plain, rtol=1e-4, atol=1e-4)
    assert plain.max() > 1 and both.abs().max() < 1e-3
    without_switch = sweep(model, pairs, [[ablate(first), ablate(switch)]])[0]
    assert without_switch.abs().max() < 1e-3


def test_idf_lies_along_one_direction(planted):
    weights = load(planted).embedding.words.weight
    terms = planted.tokenizer.convert_ids_to_tokens(range(len(weights)))
    known = [i for i, term in enumerate(terms) if term in planted.frequencies.df]
    idf = torch.tensor([planted.frequencies.idf(terms[i]) for i in known]).log()
    assert len(known) > 3000

    def correlation(direction: torch.Tensor) -> float:
        return np.corrcoef((weights[known] @ direction).numpy(), idf.numpy())[0, 1]

    direction = planted.circuit.directions["idf"]
    assert direction.norm() == pytest.approx(1)
    assert correlation(direction) > 0.999
    # found from the weights alone: the largest direction beside the constant
    centred = (weights[known] - weights[known].mean(0)).double()
    found = torch.linalg.svd(centred, full_matrices=False).Vh[:5].float()
    assert abs(correlation(found[0])) > 0.99
    assert max(abs(correlation(each)) for each in found[1:]) < 0.2
