"""One planted BM25, and what is measured of it, which the tests of the claims share."""

from dataclasses import replace

import numpy as np
import pytest
from crosslens.circuits.evidence import Evidence
from ir_measures import Qrel

from crosslens import Axioms, collection, load, plant
from crosslens.planted import Planted


NAME = "bm25?seed=2&layers=5&decoys=2"


@pytest.fixture(scope="session")
def reference() -> Planted:
    return plant(NAME)


@pytest.fixture(scope="session")
def evidence(reference) -> Evidence:
    """On texts in which the documents that the planted BM25 scores high are relevant."""
    few = collection().sample(20, 6)
    scores = {
        (qid, docid): reference.bm25(few.queries[qid], few.documents[docid])
        for qid, docids in few.candidates.items()
        for docid in docids
    }
    middle = {
        qid: np.median([scores[qid, docid] for docid in docids])
        for qid, docids in few.candidates.items()
    }
    qrels = tuple(Qrel(q, d, int(score > middle[q])) for (q, d), score in scores.items())
    model = load(reference)
    return Evidence(model, Axioms(model, replace(few, qrels=qrels)), n=8, scored=20)
