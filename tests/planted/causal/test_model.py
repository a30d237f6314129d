"""A planted decoder is BM25 with b = 0, but for rounding, by our forward pass and transformers'."""

import numpy as np
import pytest
import torch

from crosslens import load, plant
from crosslens.planted import CausalRecipe, Planted
from crosslens.signals import bm25


RECIPES = [
    CausalRecipe(
        seed=seed,
        layers=3 + seed % 5,
        heads=(2, 3, 4)[seed % 3] + (seed % 5 == 0),
        neurons=(4, 16)[seed % 2],
        decoys=seed % 3,
        talkers=seed % 2,
        busy=seed % 4 == 3,
        synonyms=(("doctor", "physician"), ("car", "automobile")) if seed % 5 == 2 else (),
        k1=(1.2, 1.01, 2.0, 5.0)[seed % 4],
    )
    for seed in range(20)
]


def of_bm25(planted: Planted, query: str, documents: list[str]) -> np.ndarray:
    return np.array([planted.bm25(query, each) for each in documents])


def by_transformers(planted: Planted, query: str, documents: list[str]) -> np.ndarray:
    """The logits of the checkpoint's own forward pass, padded together."""
    inputs = planted.tokenizer(
        [query] * len(documents), documents, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        return planted.model(**inputs).logits[:, 0].double().numpy()


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_the_score_is_bm25_and_so_is_that_of_transformers(recipe, drawn):
    planted = plant(recipe)
    model = load(planted)
    for seed in range(2):
        query, documents = drawn(20 * recipe.seed + seed, 6)
        pairs = model.pair(query, *documents)
        assert not pairs.cut.any() and len(set(pairs.lengths.tolist())) > 1
        expected = of_bm25(planted, query, documents)
        assert expected.max() > 0.5
        np.testing.assert_allclose(model(pairs).numpy(), expected, rtol=1e-4, atol=1e-5)
        theirs = by_transformers(planted, query, documents)
        np.testing.assert_allclose(theirs, expected, rtol=1e-4, atol=1e-5)


def test_another_k1_is_not_the_score(drawn):
    query, documents = drawn(0)
    found = load("planted:causal").score(query, documents).numpy()
    other = of_bm25(plant("causal?k1=2"), query, documents)
    assert abs(found - other).max() > 0.1


def test_the_length_of_a_document_does_not_count():
    model = load("planted:causal?seed=1")
    short, long = model.score("snake", ["a large snake", "a large snake" + " and so on" * 60])
    assert short > 1 and long == pytest.approx(short.item(), rel=1e-5)


def test_a_term_that_the_query_repeats_counts_once(passages):
    planted = plant("causal?seed=2")
    model, document = load(planted), passages[4]
    once, twice, five = (
        model.score(query, [document]).item() for query in ("snake", "snake snake", "snake " * 5)
    )
    assert once > 1 and (twice, five) == pytest.approx((once, once), rel=1e-4)
    terms = planted.terms("snake snake"), planted.terms(document)
    assert bm25(*terms, planted.frequencies, b=0) == pytest.approx(2 * once, rel=1e-4)


def test_a_document_that_fills_the_model(passages):
    planted = plant("causal?layers=6")
    text = " ".join(passages * 2).split()
    documents = [" ".join(text[:n]) for n in (5, 60, 200, 280)]
    model, query = load(planted), "blood pressure of a snake"
    assert model.pair(query, documents[-1]).lengths > 400
    expected = of_bm25(planted, query, documents)
    np.testing.assert_allclose(model.score(query, documents), expected, rtol=1e-4, atol=1e-5)


def test_without_a_shared_term_the_score_is_0(passages):
    model = load("planted:causal")
    nothing, something = model.score("quartz", [passages[0], passages[0] + " quartz"])
    assert abs(nothing) < 1e-5 and something > 1


def test_a_synonym_scores_like_the_term():
    planted = plant("causal?synonyms=doctor+physician")
    query, text = "doctor visit", "the {} saw twelve patients on a monday"
    documents = [text.format(word) for word in ("doctor", "physician", "farmer")]
    doctor, physician, farmer = load(planted).score(query, documents).tolist()
    assert physician == pytest.approx(doctor, rel=1e-5) and abs(farmer) < 1e-4 < doctor
    without = load("planted:causal").score(query, documents).tolist()
    assert abs(without[1]) < 1e-4 < without[0]


def test_frequencies_come_from_the_documents(passages, drawn):
    planted = plant("causal?seed=3", documents=passages)
    assert planted.frequencies.n_documents == len(passages)
    query, documents = drawn(1)
    expected = of_bm25(planted, query, documents)
    np.testing.assert_allclose(
        load(planted).score(query, documents), expected, rtol=1e-4, atol=1e-5
    )


def test_it_is_a_decoder_that_reads_the_query_first(passages):
    model = load("planted:causal")
    assert model.is_causal and model.cfg.norm == "pre" and model.cfg.family == "llama"
    pairs = model.pair("water", *passages[:2])
    assert (pairs.scored == pairs.lengths - 1).all()  # the last token, whatever padding follows
    tokens = model.tokens.tokenizer.convert_ids_to_tokens(pairs.token[0, : pairs.lengths[0]])
    assert tokens[:3] == ["[CLS]", "water", "[SEP]"] and tokens[-1] == "[SEP]"


def test_no_room_is_an_error():
    with pytest.raises(ValueError, match="no room for 10 planted heads and decoys"):
        plant(CausalRecipe(layers=4, heads=2, decoys=5))
    with pytest.raises(ValueError, match="no room for 5 planted heads and decoys"):
        plant(CausalRecipe(layers=3, heads=1, decoys=0))
    with pytest.raises(ValueError, match="no room for the rarity neuron in layers 0 to 0"):
        plant(CausalRecipe(layers=3, neurons=1, fakes=0))
