import random

import bm25s
import numpy as np
import pytest

from crosslens.signals.bm25 import bm25, bm25_terms, Bm25Index, saturation
from crosslens.signals.frequency import Frequencies, idf_robertson, tokenize


WORDS = ("cats", "dogs", "birds", "purr", "bark", "why", "do", "they", "sleep", "run", "the", "a")


def texts(n: int, seed: int = 0) -> dict[str, str]:
    """Random documents of unequal length, under ids that do not sort by age."""
    chance = random.Random(seed)
    return {
        f"d{chance.randrange(10**6)}-{i}": " ".join(chance.choices(WORDS, k=chance.randint(1, 30)))
        for i in range(n)
    }


DOCUMENTS = texts(60)
QUERY = "why do cats purr and why do dogs not"  # repeats terms, and has some nobody wrote


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.9, 0.4), (2.0, 0.0), (0.5, 1.0)])
def test_equals_bm25s_in_lucenes_convention(k1: float, b: float) -> None:
    cut = [tokenize(text) for text in DOCUMENTS.values()]
    theirs = bm25s.BM25(k1=k1, b=b, method="lucene", dtype="float64")
    theirs.index(cut, show_progress=False)
    known = Frequencies.of(cut)
    ours = [bm25(tokenize(QUERY), each, known, k1=k1, b=b) for each in cut]
    np.testing.assert_allclose(ours, theirs.get_scores(tokenize(QUERY)), rtol=1e-12)
    # control: other parameters give other scores
    others = [bm25(tokenize(QUERY), each, known, k1=k1 + 0.1, b=b) for each in cut]
    assert not np.allclose(ours, others, rtol=1e-3)


def test_the_score_is_the_sum_over_the_terms_of_the_query() -> None:
    known = Frequencies.of([tokenize(text) for text in DOCUMENTS.values()])
    document = tokenize("dogs bark and cats purr, cats purr")
    parts = bm25_terms(tokenize(QUERY), document, known)
    assert sum(parts.values()) == pytest.approx(bm25(tokenize(QUERY), document, known))
    assert parts["not"] == parts["why"] == 0 < parts["dogs"]
    twice = bm25_terms(["purr", "purr"], document, known)
    assert twice["purr"] == 2 * parts["purr"]


def test_terms_may_be_token_ids_and_idf_may_be_another() -> None:
    known = Frequencies.of([[1, 2], [2, 3], [3, 4]])
    assert bm25([1], [1, 2], known) == pytest.approx(known.idf(1) * saturation(1, 2, 2))
    robertson = bm25([1], [1, 2], known, idf=idf_robertson)
    assert robertson == pytest.approx(known.idf(1, idf_robertson) * saturation(1, 2, 2))


def test_texts_without_a_term_are_refused_and_not_indexed_as_nan() -> None:
    with pytest.raises(ValueError, match="need a document with a term in it; found 2 documents"):
        Bm25Index({"a": "!?", "b": "\ud800 —"})


def test_saturation_grows_towards_one_and_long_documents_need_more() -> None:
    by_count = [saturation(tf, 10, 10) for tf in range(200)]
    assert by_count[0] == 0
    assert all(np.diff(by_count) > 0)
    assert 0.99 < by_count[-1] < 1
    assert saturation(1, 5, 10) > saturation(1, 10, 10) > saturation(1, 20, 10)
    assert saturation(1, 5, 10, b=0) == saturation(1, 20, 10, b=0) == 1 / 2.2


def test_without_saturation_a_term_is_there_or_not() -> None:
    known = Frequencies.of([["cats"], ["dogs"]])
    assert bm25_terms(["cats", "dogs"], ["cats"] * 3, known, k1=0) == {
        "cats": known.idf("cats"),
        "dogs": 0.0,
    }


def test_the_index_scores_its_documents_and_any_text_alike() -> None:
    index = Bm25Index(DOCUMENTS, k1=0.9, b=0.4)
    some = list(DOCUMENTS)[::-3]
    indexed = index.scores(QUERY, some)
    np.testing.assert_allclose(indexed, index(QUERY, [DOCUMENTS[docid] for docid in some]))
    assert indexed.max() > 0
    assert not index.scores("unicorns", some).any()


def test_the_top_is_the_sorted_matches_and_ties_go_by_id() -> None:
    index = Bm25Index({"b": "cats purr", "c": "dogs", "a": "cats purr", "d": "cats sing cats"})
    found = index.top("cats purr", depth=10)
    assert [docid for docid, _ in found] == ["a", "b", "d"]
    assert found[0][1] == found[1][1] > found[2][1] > 0
    assert index.top("cats purr", depth=1) == found[:1]
    assert index.top("unicorns") == []


def test_the_index_cuts_texts_as_it_is_told() -> None:
    letters = Bm25Index({"a": "abc", "b": "bcd"}, terms=list)
    assert [docid for docid, _ in letters.top("d")] == ["b"]


def test_an_unknown_document_is_named() -> None:
    with pytest.raises(LookupError, match="document 'x' is not among the 60 indexed"):
        Bm25Index(DOCUMENTS).scores(QUERY, ["x"])
