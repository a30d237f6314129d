import math
import shutil

import ir_measures
import numpy as np
import pytest
from ir_measures import Accuracy, AP, ERR, nDCG, P, Qrel, RR, ScoredDoc
from scipy import stats

from crosslens.corpora.collection import Collection
from crosslens.effectiveness import agreement, compare, evaluate, relevant_from, standard_measures
from crosslens.ranking import rerank, Run


LABELS = np.random.default_rng(0).choice([0, 1, 2, 3], p=[0.5, 0.2, 0.2, 0.1], size=(12, 30))


def collection(prefix: str = "q") -> Collection:
    """Queries that judge the same thirty documents, each with its own labels."""
    documents = {f"{i}": f"document {i}" for i in range(30)}
    return Collection(
        name="judged",
        queries={f"{prefix}{i}": f"{i}" for i in range(12)},
        documents=documents,
        qrels=tuple(
            Qrel(f"{prefix}{i}", docid, int(label))
            for i, labels in enumerate(LABELS)
            for docid, label in zip(documents, labels, strict=True)
        ),
        candidates={f"{prefix}{i}": tuple(documents) for i in range(12)},
    )


def noisy(noise: float, seed: int = 1, prefix: str = "q") -> Run:
    """A ranking by the label, plus so much noise."""
    drawn = np.random.default_rng(seed).normal(0, noise, LABELS.shape)
    return rerank(
        lambda query, _: (LABELS[int(query)] + drawn[int(query)]).tolist(), collection(prefix)
    )


def ndcg(gains: np.ndarray, ideal: np.ndarray) -> float:
    discount = 1 / np.log2(np.arange(2, 12))
    return float(gains[:10] @ discount / (np.sort(ideal)[::-1][:10] @ discount))


def test_ndcg_has_exponential_gains() -> None:
    run, here = noisy(1.0), collection()
    found = evaluate(run, here)["nDCG(dcg='exp-log2')@10"]
    for i, labels in enumerate(LABELS):
        ranked = labels[[int(each.doc_id) for each in run[f"q{i}"]]]
        assert found[f"q{i}"] == pytest.approx(ndcg(2.0**ranked - 1, 2.0**labels - 1))
    linear = evaluate(run, here, [nDCG @ 10])["nDCG@10"]
    assert not np.allclose(found, linear, atol=0.01)


@pytest.mark.skipif(shutil.which("perl") is None, reason="gdeval is a Perl script")
def test_ndcg_is_gdevals_where_gdeval_works() -> None:
    measure, here = nDCG(dcg="exp-log2") @ 10, collection(prefix="")
    run = noisy(1.0, prefix="")
    ranked = [each for docs in run.values() for each in docs]
    theirs = {each.query_id: each.value for each in measure.iter_calc(here.qrels, ranked)}
    ours = evaluate(run, here, [measure])[str(measure)]
    for qid, value in theirs.items():
        assert ours[qid] == pytest.approx(value, abs=1e-5)  # it prints five digits


def test_the_first_relevant_rank_depends_on_what_counts_as_relevant() -> None:
    run = Run.of([ScoredDoc("q", "a", 3.0), ScoredDoc("q", "b", 2.0)])
    here = Collection("x", {"q": "?"}, {"a": "1", "b": "2"}, (Qrel("q", "a", 1), Qrel("q", "b", 2)))
    assert evaluate(run, here).loc["q"].to_dict()["RR(rel=2)@10"] == 0.5
    lenient = standard_measures(here.qrels, relevant=1)
    assert evaluate(run, here, lenient).loc["q"].to_dict()["RR@10"] == 1.0


def test_relevance_starts_where_trec_starts_it() -> None:
    assert relevant_from([Qrel("q", "a", 0), Qrel("q", "b", 1)]) == 1
    assert relevant_from([Qrel("q", "a", 1), Qrel("q", "b", 2)]) == 2
    assert relevant_from([]) == 1


def test_the_ranking_judged_is_the_one_shown() -> None:
    # equal in single precision, and tied: trec_eval would order both pairs by id, last first
    near, far = 1.0, 1.0 + 1e-12
    run = Run.of([ScoredDoc("q", "a", far), ScoredDoc("q", "b", near), ScoredDoc("q", "c", near)])
    here = Collection(
        "x", {"q": "?"}, {"a": "1", "b": "2", "c": "3"}, (Qrel("q", "a", 1), Qrel("q", "b", 1))
    )
    assert evaluate(run, here, [AP, P @ 2]).loc["q"].to_list() == [1.0, 1.0]
    unhelped = [each for docs in run.values() for each in docs]
    assert ir_measures.calc_aggregate([AP], here.qrels, unhelped)[AP] < 1.0  # control


def test_a_judged_query_without_ranking_counts_zero() -> None:
    run = noisy(0.0)
    partial = Run({qid: docs for qid, docs in run.items() if qid != "q3"})
    found = evaluate(partial, collection()).iloc[:, 0]
    assert found["q3"] == 0.0
    assert (found.drop("q3") == 1.0).all()


def test_negative_labels_gain_nothing() -> None:
    run = Run.of([ScoredDoc("q", "a", 2.0), ScoredDoc("q", "b", 1.0)])
    here = Collection(
        "x", {"q": "?"}, {"a": "1", "b": "2"}, (Qrel("q", "a", -2), Qrel("q", "b", 1))
    )
    assert evaluate(run, here).iloc[0, 0] == pytest.approx(1 / math.log2(3))


def test_nothing_to_evaluate_is_refused() -> None:
    unjudged = Collection("x", {"q0": "?"}, {"d": "!"})
    with pytest.raises(ValueError, match="collection 'x' judges no query of Run"):
        evaluate(noisy(0.0), unjudged)


def test_a_better_ranking_is_told_from_a_worse_and_not_from_its_like() -> None:
    here = collection()
    good, alike, bad = noisy(0.8), noisy(0.8, seed=2), noisy(5.0)
    clear = compare(good, bad, here).iloc[0]
    assert clear["difference"] == pytest.approx(clear["a"] - clear["b"])
    assert 0 < clear["low"] < clear["difference"] < clear["high"]
    assert clear["p"] < 0.01
    assert clear["n"] == 12
    unclear = compare(good, alike, here).iloc[0]
    assert unclear["low"] < 0 < unclear["high"]
    assert unclear["p"] > 0.1
    same = compare(good, good, here, [RR @ 10, nDCG @ 10])
    assert list(same.index) == ["RR@10", "nDCG@10"]
    assert (same["difference"] == 0).all()
    assert (same["p"] == 1).all()


def test_agreement_counts_pairs_in_opposite_order() -> None:
    a, b = noisy(1.0), noisy(1.0, seed=2)
    for qid, row in agreement(a, b).iterrows():
        places = [[int(each.doc_id) for each in run[str(qid)]] for run in (a, b)]
        ranks = [np.argsort(each) for each in places]
        assert row["tau"] == pytest.approx(stats.kendalltau(*ranks)[0])
        assert row["top10"] == len({*places[0][:10]} & {*places[1][:10]}) / 10
        assert row["flips"] > 0


def test_a_ranking_agrees_with_itself_and_not_with_its_reverse() -> None:
    a = noisy(1.0)
    reverse = Run.of(each._replace(score=-each.score) for docs in a.values() for each in docs)
    same, opposite = agreement(a, a).iloc[0], agreement(a, reverse).iloc[0]
    assert (same["tau"], same["flips"], same["top10"]) == (1.0, 0, 1.0)
    assert (opposite["tau"], opposite["flips"], opposite["top10"]) == (-1.0, 30 * 29 // 2, 0.0)


def test_runs_that_share_nothing_have_no_agreement() -> None:
    a = Run.of([ScoredDoc("q", "a", 1.0), ScoredDoc("q", "b", 0.0)])
    with pytest.raises(ValueError, match="share no query"):
        agreement(a, Run.of([ScoredDoc("p", "a", 1.0)]))
    with pytest.raises(ValueError, match="query 'q': .* share 1 documents; an order needs two"):
        agreement(a, Run.of([ScoredDoc("q", "a", 1.0), ScoredDoc("q", "c", 0.0)]))


@pytest.mark.parametrize("labels", [(19, 20), (1, 20), (0, 1)])
def test_large_labels_have_the_gain_they_have_by_hand(labels: tuple[int, int]) -> None:
    low, high = labels
    qrels = (Qrel("q", "a", high), Qrel("q", "b", low), Qrel("q", "c", 0))
    judged = Collection("c", {"q": "t"}, {"a": "x", "b": "y", "c": "z"}, qrels)
    run = Run.of([ScoredDoc("q", "c", 3.0), ScoredDoc("q", "b", 2.0), ScoredDoc("q", "a", 1.0)])
    gain_low, gain_high = 2.0**low - 1, 2.0**high - 1
    dcg = gain_low / math.log2(3) + gain_high / 2
    ideal = gain_high + gain_low / math.log2(3)
    assert evaluate(run, judged).iloc[0, 0] == pytest.approx(dcg / ideal, abs=1e-6)


@pytest.mark.parametrize(
    ("label", "why"), [(21, "more than trec_eval can count"), (10**9, "up to")]
)
def test_labels_that_overflow_are_refused(label: int, why: str) -> None:
    judged = Collection("c", {"q": "t"}, {"a": "x"}, (Qrel("q", "a", label),))
    with pytest.raises(ValueError, match=why):
        evaluate(Run.of([ScoredDoc("q", "a", 1.0)]), judged)


def test_a_query_that_the_run_lacks_counts_as_zero_by_any_measure() -> None:
    qrels = (Qrel("q1", "a", 1), Qrel("q1", "b", 0), Qrel("q2", "a", 1))
    judged = Collection("c", {"q1": "t", "q2": "u"}, {"a": "x", "b": "y"}, qrels)
    run = Run.of([ScoredDoc("q1", "a", 2.0), ScoredDoc("q1", "b", 1.0)])
    for measure in (AP, nDCG @ 10, Accuracy):
        assert evaluate(run, judged, [measure]).loc["q2"].iloc[0] == 0
    with pytest.raises(ValueError, match="ERR@10 cannot be computed here"):
        evaluate(run, judged, [ERR @ 10])
