"""What training may not see: the tests, and the queries that choose among recipes."""

from collections.abc import Mapping
from typing import Final

from .collection import bucket, Collection, normalised


TESTS: Final = ("trec-dl-2019", "cranfield")


def is_development(name: str, qid: str) -> bool:
    """Held out of training to choose among recipes: a quarter of DL 2020, an eighth of WikiQA."""
    if name == "trec-dl-2020":
        return bucket(qid, 4) == 0
    return name == "wikiqa" and bucket(qid, 8) == 2


def is_test(name: str, qid: str) -> bool:
    """Held out for good: one half of WikiQA, all of TREC DL 2019 and Cranfield."""
    return name in TESTS or (name == "wikiqa" and bucket(qid, 2) == 1)


def trainable(collections: Mapping[str, Collection]) -> dict[str, Collection]:
    """What training may see: no held-out query, and no text that one of them is judged on."""
    held_out: set[str] = set()
    kept: dict[str, Collection] = {}
    for name, collection in collections.items():
        if name in TESTS:
            held_out |= collection.normalised_texts()
            continue
        aside = collection.only(lambda q, n=name: is_development(n, q) or is_test(n, q))
        held_out |= {normalised(text) for text in aside.queries.values()}
        held_out |= {
            normalised(collection.documents[docid])
            for docids in aside.candidates.values()
            for docid in docids
            if docid in collection.documents
        }
        kept[name] = collection.only(lambda q, n=name: not (is_development(n, q) or is_test(n, q)))
    return {name: collection.without(held_out) for name, collection in kept.items()}
