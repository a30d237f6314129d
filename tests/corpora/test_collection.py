import pytest
from ir_measures import Qrel

from crosslens.corpora.candidates import candidates_by_bm25, is_pool
from crosslens.corpora.collection import Collection


def made(n_queries: int = 6, n_documents: int = 12) -> Collection:
    """Queries that judge every document, with labels 3, 1, 0, 0, 0 … in turn."""
    queries = {f"q{i}": f"query {i}" for i in range(n_queries)}
    documents = {f"d{i}": f"document {i}" for i in range(n_documents)}
    return Collection(
        name="made",
        queries=queries,
        documents=documents,
        qrels=tuple(
            Qrel(qid, docid, {0: 3, 1: 1}.get(i, 0))
            for qid in queries
            for i, docid in enumerate(documents)
        ),
        candidates={qid: tuple(documents) for qid in queries},
        types={docid: "kind" for docid in documents},
        fields={qid: "field" for qid in queries},
    )


def test_the_digest_sees_what_changes_a_result_and_nothing_else() -> None:
    one = made()
    shuffled = Collection(
        name="another name",
        queries=dict(reversed(list(one.queries.items()))),
        documents=dict(reversed(list(one.documents.items()))),
        qrels=one.qrels[::-1],
        candidates={qid: docids[::-1] for qid, docids in one.candidates.items()},
        source="elsewhere",
    )
    assert shuffled.digest == one.digest
    assert len(one.digest) == 64
    changes = [
        Collection("made", {**one.queries, "q0": "?"}, one.documents, one.qrels, one.candidates),
        Collection("made", one.queries, {**one.documents, "d0": "?"}, one.qrels, one.candidates),
        Collection("made", one.queries, one.documents, one.qrels[1:], one.candidates),
        Collection("made", one.queries, one.documents, one.qrels, {"q0": ("d0",)}),
        one.graded(lambda label: label + 1),
    ]
    assert len({one.digest, *(each.digest for each in changes)}) == 6


def test_texts_do_not_flow_into_each_other_in_the_digest() -> None:
    assert Collection("", {"a": "bc"}, {"d": "x"}).digest != (
        Collection("", {"ab": "c"}, {"d": "x"}).digest
    )


def test_a_sample_is_decided_by_its_seed() -> None:
    one = made()
    assert one.sample(3, 4, seed=1) == one.sample(3, 4, seed=1)
    assert len({one.sample(3, 4, seed=seed).digest for seed in range(5)}) > 1


def test_a_sample_draws_from_every_label_and_stays_consistent() -> None:
    drawn = made().sample(3, 4)
    assert (len(drawn.queries), drawn.n_pairs) == (3, 12)
    for qid, docids in drawn.candidates.items():
        assert sorted(drawn.labels[qid][docid] for docid in docids) == [0, 0, 1, 3]
    assert set(drawn.documents) == {each for docids in drawn.candidates.values() for each in docids}
    assert drawn.types.keys() == drawn.documents.keys()
    assert drawn.fields.keys() == drawn.queries.keys()
    assert drawn.pool == "given, sampled by label"


def test_what_one_query_draws_does_not_depend_on_the_others() -> None:
    few, all_ = made().sample(2, 4, seed=3), made().sample(6, 4, seed=3)
    assert all(all_.candidates[qid] == docids for qid, docids in few.candidates.items())


def test_a_sample_larger_than_the_collection_is_the_collection() -> None:
    assert made().sample(100, 100).digest == made().digest


def test_labels_can_be_read_otherwise() -> None:
    binary = made().graded(lambda label: label >= 1)
    assert {qrel.relevance for qrel in binary.qrels} == {0, 1}
    assert binary.labels["q0"]["d1"] == 1


def test_a_pool_has_more_than_one_bad_document_per_query() -> None:
    good = [Qrel("q1", "d1", 1), Qrel("q2", "d1", 2)]
    one_bad_each = [*good, Qrel("q1", "d2", 0), Qrel("q2", "d2", 0)]
    assert not is_pool([])
    assert not is_pool(good)
    assert not is_pool(one_bad_each)
    assert is_pool([*one_bad_each, Qrel("q1", "d3", -1)])


CATS = Collection(
    name="cats",
    queries={"q1": "cats purr", "q2": "unicorns"},
    documents={"d1": "cats", "d2": "cats purr", "d3": "dogs", "d4": "purr loudly"},
    qrels=(Qrel("q1", "d3", 1), Qrel("q1", "d2", 1)),
)


def test_bm25_finds_candidates_best_first() -> None:
    found = candidates_by_bm25(CATS, depth=2)
    assert found.candidates == {"q1": ("d2", "d1")}
    assert found.pool == "BM25 top 2"
    with_judged = candidates_by_bm25(CATS, depth=2, judged=True)
    assert with_judged.candidates == {"q1": ("d2", "d1", "d3")}
    assert with_judged.pool == "BM25 top 2 and judged documents"


@pytest.mark.parametrize(
    ("collection", "error"),
    [
        (lambda: Collection("x", {}, {"d": "text"}), "'x' has no query"),
        (lambda: Collection("x", {"q": "text"}, {}), "'x' has no document"),
        (lambda: Collection("x", {"q": " "}, {"d": "text"}), "query 'q' of .* has no text"),
        (lambda: Collection("x", {"q": "?"}, {"d": ""}), "document 'd' of .* has no text"),
        (
            lambda: Collection("x", {"q": "?"}, {"d": "!"}, (Qrel("p", "d", 1),)),
            "refers to query 'p' and lacks it",
        ),
        (
            lambda: Collection("x", {"q": "?"}, {"d": "!"}, candidates={"q": ("d", "e")}),
            "refers to document 'e' and lacks it",
        ),
        (lambda: made().sample(0, 5), "at least one query and one document, not 0 x 5"),
        (lambda: CATS.sample(1, 1), "no query of collection 'cats' has candidates"),
        (lambda: candidates_by_bm25(CATS, depth=0), "a depth of at least 1, not 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(collection: object, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        collection()  # type: ignore[operator]
