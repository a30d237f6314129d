"""A planted model is BM25: the same ranking, and the same scores but for rounding."""

import numpy as np
import pytest

from crosslens import load, plant
from crosslens.planted import Planted, Recipe


NAMES = [
    "planted:bm25",
    "planted:bm25?seed=1",
    "planted:bm25?seed=2&layers=6&decoys=5",
    "planted:bm25?seed=3&layers=3&heads=1&decoys=0",
    "planted:bm25?seed=4&layers=12&heads=2&backup",
    "planted:bm25?seed=5&k1=0.9&b=0.4",
    "planted:bm25?seed=6&k1=2&b=0",
    "planted:bm25?seed=7&synonyms=doctor+physician,car+automobile",
    "planted:bm25?seed=8&contextual",
    "planted:bm25?seed=9&matchers=3&suppressor&talkers=2",
    "planted:bm25?seed=10&layers=7&contextual&backup&suppressor&matchers=2&busy",
]


def both(planted: Planted, query: str, documents: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The model's scores and BM25's."""
    model = load(planted)
    assert not model.pair(query, *documents).cut.any()  # BM25 would see what the model does not
    scores = model.score(query, documents).double().numpy()
    return scores, np.array([planted.bm25(query, each) for each in documents])


def ranks_alike(a: np.ndarray, b: np.ndarray, tie: float = 1e-4) -> bool:
    """Every two documents that `b` tells apart stand in the same order in `a`."""
    apart = b[:, None] > b + tie
    return bool((a[:, None] > a)[apart].all())


@pytest.mark.parametrize("name", NAMES)
def test_the_score_is_bm25(name, drawn):
    planted = plant(name)
    ours, theirs = [], []
    for seed in range(6):
        a, b = both(planted, *drawn(seed))
        assert ranks_alike(a, b)
        assert np.corrcoef(a, b)[0, 1] > 0.999999
        ours, theirs = [*ours, *a], [*theirs, *b]
    assert np.corrcoef(ours, theirs)[0, 1] > 0.999999
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


def test_another_bm25_is_not_the_score(drawn):
    planted, other = plant("bm25?seed=1"), plant("bm25?seed=1&k1=0.9&b=0.4")
    query, documents = drawn(0)
    a, _ = both(planted, query, documents)
    b = np.array([other.bm25(query, each) for each in documents])
    assert np.corrcoef(a, b)[0, 1] < 0.9999
    assert abs(a - b).max() > 0.05


def test_normalised_divides_by_the_idf_of_the_query(drawn):
    planted = plant("bm25?normalised&seed=2")
    scores = [both(planted, *drawn(seed)) for seed in range(6)]
    ours, theirs = (np.concatenate(each) for each in zip(*scores, strict=True))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert theirs.max() < 1


def test_a_document_that_fills_the_model(passages):
    planted = plant("bm25?layers=6")
    text = " ".join(passages * 2).split()
    documents = [" ".join(text[:n]) for n in (5, 60, 200, 280)]
    a, b = both(planted, "blood pressure of a snake", documents)
    assert load(planted).pair("blood pressure of a snake", documents[-1]).lengths > 400
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_without_a_shared_term_the_score_is_0(passages):
    planted = plant("bm25")
    model = load(planted)
    nothing, something = model.score("quartz", [passages[0], passages[0] + " quartz"])
    assert abs(nothing) < 1e-3 and something > 1


def test_a_term_twice_in_the_query_counts_twice(passages):
    model = load("planted:bm25")
    once, twice = (model.score(query, [passages[4]]).item() for query in ("snake", "snake snake"))
    # a query piece makes the pair longer, by one of some fifty
    assert twice == pytest.approx(2 * once, rel=0.02)


def test_frequencies_come_from_the_documents(passages, drawn):
    planted = plant("bm25?seed=3", documents=passages)
    assert planted.frequencies.n_documents == len(passages)
    assert planted.frequencies.df["the"] == sum(" the " in f" {p.lower()} " for p in passages)
    pieces = [len(planted.terms(passage)) for passage in passages]
    assert planted.frequencies.mean_length == pytest.approx(np.mean(pieces))
    assert planted.frequencies.idf("snake") > planted.frequencies.idf("the")
    a, b = both(planted, *drawn(1))
    assert ranks_alike(a, b)
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="no documents to count"):
        plant("bm25", documents=[])
    with pytest.raises(TypeError, match="a sequence of texts; found one text, 'Cats"):
        plant("bm25", documents=passages[0])


def test_normalised_with_a_contextual_head_is_the_same(drawn):
    ours, theirs = both(plant("bm25?normalised&contextual&busy&seed=3"), *drawn(2))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_synonym_scores_like_the_term():
    planted = plant("bm25?synonyms=doctor+physician")
    query, text = "doctor visit", "the {} saw twelve patients on a monday"
    documents = [text.format(word) for word in ("doctor", "physician", "farmer")]
    doctor, physician, farmer = load(planted).score(query, documents).tolist()
    assert physician == pytest.approx(doctor, rel=1e-5) and farmer < 0.1 * doctor
    as_query = load(planted).score("physician visit", documents).tolist()
    assert as_query == pytest.approx([doctor, physician, farmer], rel=1e-5, abs=1e-5)
    without = load("planted:bm25").score(query, documents).tolist()
    assert without[1] < 0.1 * without[0]


def test_synonyms_are_single_pieces_of_the_vocabulary():
    with pytest.raises(ValueError, match=r"\['xylophonist'\] are no single pieces"):
        plant("bm25?synonyms=doctor+xylophonist")


def test_no_room_is_an_error():
    with pytest.raises(ValueError, match="no room for 7 planted heads and decoys"):
        plant(Recipe(layers=4, heads=2, decoys=5))
    with pytest.raises(ValueError, match="no room for 3 planted heads"):
        plant(Recipe(layers=3, heads=1, decoys=0, backup=True))
    with pytest.raises(ValueError, match="no room for 3 planted heads"):
        plant(Recipe(layers=3, decoys=0, contextual=True))
    with pytest.raises(ValueError, match="no room for a decoy neuron"):
        plant(Recipe(layers=3, neurons=2, fakes=6))
