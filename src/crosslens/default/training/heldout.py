"""What training may not see: the tests, and the queries that choose among recipes."""

from collections.abc import Mapping
from typing import Final

from ...corpora.collection import Collection
from .collection import bucket, normalised, part


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
    kept: dict[str, Collection | None] = {}
    for name, whole in collections.items():
        if name in TESTS:
            held_out.update(map(normalised, (*whole.queries.values(), *whole.documents.values())))
            continue

        def is_aside(qid: str, name: str = name) -> bool:
            return is_development(name, qid) or is_test(name, qid)

        for qid in filter(is_aside, whole.queries):
            texts = (whole.documents[docid] for docid in whole.candidates.get(qid, ()))
            held_out.update(map(normalised, (whole.queries[qid], *texts)))
        kept[name] = part(whole, query=lambda qid, aside=is_aside: not aside(qid))
    clean = {name: rest and _without(rest, held_out) for name, rest in kept.items()}
    return {name: rest for name, rest in clean.items() if rest}


def _without(whole: Collection, texts: set[str]) -> Collection | None:
    """Every document and query but those that read like one of the normalised `texts`."""
    return part(
        whole,
        query=lambda qid: normalised(whole.queries[qid]) not in texts,
        document=lambda docid: normalised(whole.documents[docid]) not in texts,
    )
