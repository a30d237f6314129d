"""A probe finds what was planted where it was planted, and nothing where there is nothing."""

import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier

from crosslens import CrossEncoder, NotMeasurable, Pairs
from crosslens.probing import (
    control_labels,
    draw,
    Features,
    features,
    frequent_pieces,
    held_out,
    is_period,
    max_probe,
    token_groups,
    Training,
    with_periods,
)
from crosslens.probing.held_out import splits
from crosslens.probing.max_probe import _Probe


QUERIES, DOCUMENTS, WIDTH = 48, 6, 12
QUERY = np.repeat([f"q{n}" for n in range(QUERIES)], DOCUMENTS)
LABELS = np.tile(np.arange(DOCUMENTS) % 3 == 0, QUERIES)
FAST = Training(epochs=20, rate=1e-2)


def planted(counts: np.ndarray, signal: float) -> Features:
    """Noise in layer 0; in layer 1 also a signal, in one vector of each positive pair."""
    draw = np.random.default_rng(0)
    pair = np.repeat(np.arange(len(counts)), counts)
    vectors = draw.normal(size=(2, len(pair), WIDTH))
    first = np.flatnonzero(np.diff(pair, prepend=-1))
    vectors[1, first[LABELS[pair[first]]], 0] += signal
    return Features(torch.tensor(vectors).float(), torch.tensor(pair), len(counts))


ONE = np.ones(len(LABELS), dtype=int)


def mean(values: np.ndarray) -> float:
    return float(np.nanmean(values))


def test_a_signal_is_read_from_the_layer_where_it_is_planted_and_not_before():
    found = planted(ONE, 4.0)
    before, after = (
        mean(held_out(found.means(layer).numpy(), LABELS, QUERY).by_query()) for layer in (0, 1)
    )
    assert 0.35 < before < 0.65 and after > 0.95


def test_control_task_and_shuffled_labels_are_at_chance():
    vectors = planted(ONE, 4.0).means(1).numpy()
    documents = np.arange(len(LABELS)) % 40
    control = control_labels(LABELS, documents, seed=0)
    assert all(len(set(control[documents == each])) == 1 for each in range(40))
    shuffled = np.random.default_rng(0).permutation(LABELS)
    for labels in (control, shuffled):
        assert 0.35 < mean(held_out(vectors, labels, QUERY).by_query()) < 0.65


def test_a_probe_that_memorises_is_found_out_by_the_control_task():
    types = np.arange(len(LABELS)) % 6
    vectors = np.eye(6)[types] + 0.0
    control = control_labels(LABELS, types, seed=1)
    found = held_out(vectors, control, QUERY, probe=DecisionTreeClassifierOfOdds())
    assert mean(found.by_query()) == 1


class DecisionTreeClassifierOfOdds(DecisionTreeClassifier):
    def decision_function(self, X):
        return self.predict_proba(X)[:, 1]


def test_numbers_are_predicted_too():
    vectors = planted(ONE, 4.0).means(1).numpy()
    idf = 2 * vectors[:, 3] + 0.1 * vectors[:, 4]
    assert mean(held_out(vectors, idf, QUERY).by_query()) > 0.9
    assert abs(mean(held_out(vectors, idf[::-1].copy(), QUERY).by_query())) < 0.3


def test_no_query_is_fitted_to_and_judged():
    parts = splits(LABELS, QUERY, LABELS | (np.arange(len(LABELS)) % 2 == 0), folds=5, seed=0)
    assert sorted(np.concatenate([judged for _, judged in parts])) == list(range(len(LABELS)))
    for fitted, judged in parts:
        assert not set(QUERY[fitted]) & set(QUERY[judged])
        assert (LABELS[fitted] | (fitted % 2 == 0)).all()


def test_the_best_vector_decides_and_noise_does_not():
    found = planted(np.resize([1, 3, 5, 2, 4], len(LABELS)), 6.0)
    before, after = (
        mean(max_probe(found, layer, LABELS, QUERY, training=FAST, folds=3).by_query())
        for layer in (0, 1)
    )
    assert 0.35 < before < 0.65 and after > 0.9


@pytest.mark.parametrize("is_masked", [True, False])
def test_a_probe_fitted_in_halves_is_the_same_probe(is_masked, monkeypatch):
    """Its dropout too, and the padding that counts in the published one."""
    found = planted(np.resize([1, 3, 0, 2, 4], len(LABELS)), 2.0)
    asked = {"training": Training(epochs=2, rate=1e-2), "is_padding_masked": is_masked, "folds": 3}
    expected, whole, sizes = max_probe(found, 1, LABELS, QUERY, **asked), _Probe.__call__, []

    def run(probe, rows, *given):
        sizes.append(len(rows))
        logits = whole(probe, rows, *given)
        if len(rows) > 5:
            raise torch.OutOfMemoryError
        return logits

    monkeypatch.setattr(_Probe, "__call__", run)
    again = max_probe(found, 1, LABELS, QUERY, **asked)
    assert max(sizes) == 32 and sizes.count(4) > sizes.count(32)
    np.testing.assert_allclose(again.predicted, expected.predicted, atol=1e-5)


def test_padding_that_is_not_masked_reveals_the_number_of_vectors():
    # some pairs of label 0 lack vectors; the vectors themselves are noise
    found = planted(np.where(LABELS, 2, np.resize([0, 0, 0, 2, 0], len(LABELS))), 0.0)
    masked, published = (
        mean(
            max_probe(
                found,
                1,
                LABELS,
                QUERY,
                training=FAST,
                folds=3,
                is_padding_masked=is_masked,
                train=None,
            ).by_query()
        )
        for is_masked in (True, False)
    )
    assert published > 0.7 > 0.6 > masked
    flat = max_probe(found, 1, LABELS, QUERY, training=Training(epochs=1), folds=3)
    without = flat.predicted[found.counts.numpy() == 0]
    assert len(np.unique(without)) <= 3, "one neutral prediction in each fold"


def test_features_are_the_streams_of_the_chosen_tokens(model: CrossEncoder, pairs: Pairs):
    groups = {"query": pairs.where("query"), "none": torch.zeros_like(pairs.attended)}
    found = features(model, pairs, groups)
    sites = [model.sites("resid_pre")[0], *model.block_outputs()]
    with torch.no_grad(), model.record(*sites) as cache:
        model(pairs)
    assert len(found["query"].vectors) == len(sites)
    for vectors, site in zip(found["query"].vectors, sites, strict=True):
        torch.testing.assert_close(vectors, cache[site][groups["query"]])
    assert (found["query"].counts == groups["query"].sum(dim=1)).all()
    assert found["none"].vectors.shape[1] == 0
    expected = torch.stack(
        [cache[sites[1]][i, row].mean(dim=0) for i, row in enumerate(groups["query"])]
    )
    torch.testing.assert_close(found["query"].means(1), expected)
    with pytest.raises(NotMeasurable, match="none of the 2 pairs has a token"):
        found["none"].means(0)


def test_groups_are_what_their_names_say(model: CrossEncoder):
    pairs = model.pair("why do cats purr", "cats purr . bark , and . the cats in", "the engine")
    tokenizer = model.tokens.tokenizer
    stop = torch.tensor(tokenizer.convert_tokens_to_ids(["the", "do"]))
    generator = torch.Generator().manual_seed(0)
    groups = token_groups(pairs, stop, generator=generator)
    words = np.array(tokenizer.convert_ids_to_tokens(pairs.token[0].tolist()))
    assert list(words[groups["query terms"][0]]) == ["cats", "purr", "cats"]
    assert list(words[groups["stop words"][0]]) == ["the"]
    assert list(words[groups["periods"][0]]) == [".", "."]
    assert groups["random"].sum(dim=1).tolist() == [10, 2]
    assert not (groups["periods"] | groups["query terms"])[1].any()


def test_a_period_is_exempt_between_digits_only(model: CrossEncoder):
    pairs = model.pair("a . b", "3 . 5 . a . 5", "a .")
    periods = is_period(pairs)
    assert periods.sum(dim=1).tolist() == [1 + 2, 1 + 1]
    marked = with_periods(pairs)
    assert marked.where("query period").sum(dim=1).tolist() == [1, 1]
    assert (marked.where("query period", "document period") == periods).all()


def test_frequent_pieces_are_letters_in_most_documents(model: CrossEncoder):
    documents = ["the cat .", "the dog .", "the cat ,"]
    found = frequent_pieces(model.tokens.tokenizer, documents, n=1)
    assert model.tokens.tokenizer.convert_ids_to_tokens(found.tolist()) == ["the"]


def test_a_draw_keeps_at_most_so_many(pairs: Pairs):
    generator = torch.Generator().manual_seed(0)
    mask = pairs.where("document")
    some = draw(mask, 3, generator)
    assert (some & ~mask).sum() == 0 and (some.sum(dim=1) == 3).all()
    assert (draw(mask, 100, generator) == mask).all()


def test_what_cannot_be_probed_says_why(model: CrossEncoder, pairs: Pairs):
    vectors = planted(ONE, 1.0).means(0).numpy()
    with pytest.raises(NotMeasurable, match="needs two, found 1"):
        held_out(vectors, LABELS, np.full(len(LABELS), "q"))
    with pytest.raises(NotMeasurable, match="labels that differ.*all False"):
        held_out(vectors, np.zeros(len(LABELS), dtype=bool), QUERY)
    with pytest.raises(LookupError, match="nothing to record"):
        features(model, pairs, {})
    with pytest.raises(ValueError, match="group 'g' has shape"):
        features(model, pairs, {"g": pairs.attended[:, :2]})
