"""The embedded collection is what its README says."""

import re
from collections import Counter

import numpy as np
import pytest

from crosslens.corpora.collection import Collection
from crosslens.corpora.reading import collection
from crosslens.effectiveness import evaluate
from crosslens.ranking import rerank
from crosslens.signals.bm25 import Bm25Index


GRADES = {
    "full": 3,
    "late": 3,
    "paraphrase": 3,
    "near-synonym": 3,
    "partial": 2,
    "on-topic": 1,
    "stuffed": 0,
    "near-swap": 0,
    "off-topic": 0,
}
# words that carry no subject, of which a paraphrase may share any number
STOP = set(
    """a an and are as at be been by can could did do does for from had has have how if in into is
    it its long many much of often on or over over's should than that the their them then there
    they this to up was were what when where which while who why will with would you your about
    after before per under""".split()
)


@pytest.fixture(scope="module")
def embedded() -> Collection:
    return collection("embedded")


@pytest.fixture(scope="module")
def bm25(embedded):
    return rerank(Bm25Index(embedded.documents), embedded)


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def content(text: str) -> set[str]:
    return {word for word in words(text) if word not in STOP}


def by_type(collection: Collection, qid: str) -> dict[str, str]:
    return {collection.types[d]: collection.documents[d] for d in collection.candidates[qid]}


def test_every_query_has_ten_passages_one_of_each_type_and_two_off_topic(embedded):
    assert embedded.name == "embedded"
    assert len(embedded.queries) == 48 and len(embedded.documents) == 480
    assert set(Counter(embedded.fields.values()).values()) == {8}
    for docids in embedded.candidates.values():
        assert Counter(embedded.types[d] for d in docids) == dict.fromkeys(GRADES, 1) | {
            "off-topic": 2
        }


def test_grades_are_those_of_the_types(embedded):
    for qid, labels in embedded.labels.items():
        for docid, grade in labels.items():
            assert docid.startswith(qid) and grade == GRADES[embedded.types[docid]]


def test_texts_are_distinct_and_of_passage_length(embedded):
    texts = list(embedded.documents.values())
    assert len(set(texts)) == len(texts)
    assert all(40 <= len(text.split()) <= 120 for text in texts)
    assert all(text.isascii() for text in texts)


def test_a_paraphrase_shares_no_content_word_with_its_query(embedded):
    for qid, query in embedded.queries.items():
        passages = by_type(embedded, qid)
        assert not content(query) & content(passages["paraphrase"]), qid
        assert content(query) & content(passages["full"]), qid  # the control: an answer that does


def test_near_duplicates_differ_from_the_full_answer_in_one_term(embedded):
    for qid in embedded.queries:
        passages = by_type(embedded, qid)
        full = words(passages["full"])
        for kind in ("near-synonym", "near-swap"):
            other = words(passages[kind])
            changed = {pair for pair in zip(full, other, strict=True) if pair[0] != pair[1]}
            assert len(changed) == 1, (qid, kind, changed)


def test_bm25_alone_does_not_solve_it(embedded, bm25):
    found = evaluate(bm25, embedded).mean()
    assert 0.5 < found["nDCG(dcg='exp-log2')@10"] < 0.8


def test_bm25_falls_for_stuffing_and_misses_paraphrases(embedded, bm25):
    rank = {}
    for docs in bm25.values():
        for place, each in enumerate(docs, start=1):
            rank.setdefault(embedded.types[each.doc_id], []).append(place)
    mean = {kind: np.mean(places) for kind, places in rank.items()}
    assert mean["stuffed"] < mean["full"] < mean["late"] < mean["paraphrase"]
