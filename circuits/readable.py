"""The texts of a collection that a model can read: the others are left out, and listed.

A text of invisible characters has no token, and a query as long as the model's limit leaves no
space for a document. One such text must not end a run over thousands of others.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from crosslens import Collection, CrossEncoder, NotMeasurable
from crosslens.contrasts import Shortened


NO_TOKEN: Final = "holds no token that the model knows"
NO_SPACE: Final = "is so long that the model has no token left for a document"


class Readable(NamedTuple):
    """A collection without the texts that cannot be read, and what those are."""

    collection: Collection
    left_out: Mapping[str, str]  # "query q1" or "document d9": why


def readable(
    model: CrossEncoder | Shortened, collection: Collection, too_long: str = NO_SPACE
) -> Readable:
    """The collection as far as the model can read the texts that are to be ranked.

    `too_long` is why a query is left out beside which no token of a document can be read.

    Raises:
        NotMeasurable: no query is left, or no document.
    """
    ranked = {qid: docids for qid, docids in collection.candidates.items() if docids}
    queries = {qid: collection.queries[qid] for qid in ranked}
    ids = dict.fromkeys(docid for docids in ranked.values() for docid in docids)
    documents = {docid: collection.documents[docid] for docid in ids}
    empty = {qid: NO_TOKEN for qid, n in lengths(model, queries).items() if not n}
    filled = [qid for qid in queries if qid not in empty]
    spaces = model.tokens.leave_space([queries[qid] for qid in filled])
    long = {qid: too_long for qid, has_space in zip(filled, spaces, strict=True) if not has_space}
    wrong_queries = {qid: why for qid in queries if (why := (empty | long).get(qid))}
    wrong_documents = {docid: NO_TOKEN for docid, n in lengths(model, documents).items() if not n}
    if not wrong_queries and not wrong_documents:
        return Readable(collection, {})
    left_out = {f"query {qid}": why for qid, why in wrong_queries.items()}
    left_out |= {f"document {docid}": why for docid, why in wrong_documents.items()}
    for kind, texts, wrong in (
        ("query", collection.queries, wrong_queries),
        ("document", collection.documents, wrong_documents),
    ):
        if len(wrong) == len(texts):
            raise NotMeasurable(
                f"the model can read no {kind} of collection {collection.name!r}: "
                + "; ".join(f"{name} {why}" for name, why in list(left_out.items())[:3])
            )
    return Readable(without(collection, wrong_queries, wrong_documents), left_out)


def without(
    collection: Collection, queries: Mapping[str, str], documents: Mapping[str, str]
) -> Collection:
    """The collection without these queries and documents.

    Judgements of a document that is left out still count: no ranking can hold it, and the best
    one would.
    """

    def kept(texts: Mapping[str, Any], wrong: Mapping[str, str]) -> dict[str, Any]:
        return {key: value for key, value in texts.items() if key not in wrong}

    judged = [each for each in collection.qrels if each.query_id not in queries]
    return replace(
        collection,
        queries=kept(collection.queries, queries),
        documents=kept(collection.documents, documents),
        qrels=tuple(each for each in judged if each.doc_id not in documents),
        without_text=(
            *(each for each in collection.without_text if each.query_id not in queries),
            *(each for each in judged if each.doc_id in documents),
        ),
        candidates={
            qid: tuple(docid for docid in docids if docid not in documents)
            for qid, docids in kept(collection.candidates, queries).items()
        },
        types=kept(collection.types, documents),
        fields=kept(collection.fields, queries),
    )


def lengths(model: CrossEncoder | Shortened, texts: Mapping[str, str]) -> dict[str, int]:
    """How many tokens each text has, separators left aside."""
    if not texts:
        return {}
    tokenizer: Any = model.tokens.tokenizer
    found = tokenizer(list(texts.values()), add_special_tokens=False, verbose=False)["input_ids"]
    return {key: len(ids) for key, ids in zip(texts, found, strict=True)}
