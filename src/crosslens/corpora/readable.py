"""The texts of a collection that a model can read: the others are left out, and listed.

A text of invisible characters has no token, and a query as long as the model's limit leaves no
space for a document. One such text must not end a run over thousands of others.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from ..not_measurable import NotMeasurable
from .collection import Collection
from .records import HALF


NO_TOKEN: Final = "holds no token that the model knows"
NO_SPACE: Final = "is so long that the model has no token left for a document"
NO_TEXT: Final = "holds half of a surrogate pair, which no tokenizer reads"
NOT_KEPT: Final = "is decoded by lightning-ir and read in other tokens than it is written in"


@runtime_checkable
class ReadsPairs(Protocol):
    """A model with a tokenizer of pairs, as `CrossEncoder` and `Shortened` have one."""

    @property
    def tokens(self) -> Any: ...


class Readable(NamedTuple):
    """A collection without the texts that cannot be read, and what those are."""

    collection: Collection
    left_out: Mapping[str, str]  # "query q1" or "document d9": why


def readable(model: ReadsPairs, collection: Collection, too_long: str = NO_SPACE) -> Readable:
    """The collection as far as the model can read the texts that are ranked or judged.

    `too_long` is why a query is left out beside which no token of a document can be read.
    Judgements of a document that is left out still count: no ranking can hold it, and the best
    one would. A query is left out with its judgements.

    Raises:
        NotMeasurable: no query is left, or no document.
    """
    qids, docids = asked(collection)
    queries = {qid: collection.queries[qid] for qid in qids}
    documents = {docid: collection.documents[docid] for docid in docids}
    wrong_queries = unread(model, "query", queries, too_long)
    wrong_documents = unread(model, "document", documents, too_long)
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


def asked(collection: Collection) -> tuple[list[str], list[str]]:
    """The ids of the queries and documents that are ranked or judged."""
    ranked = {qid: docids for qid, docids in collection.candidates.items() if docids}
    qids = dict.fromkeys([*ranked, *(each.query_id for each in collection.qrels)])
    docids = dict.fromkeys(docid for docids in ranked.values() for docid in docids)
    return list(qids), list(docids | dict.fromkeys(each.doc_id for each in collection.qrels))


def unread(model: ReadsPairs, kind: str, texts: Mapping[str, str], too_long: str) -> dict[str, str]:
    """Which of these queries, or documents, cannot be read, and why."""
    tokens = model.tokens
    found = {key: NO_TEXT for key, text in texts.items() if HALF.search(text)}
    whole = {key: text for key, text in texts.items() if key not in found}
    found |= dict.fromkeys(tokenless(tokens.tokenizer, whole), NO_TOKEN)
    filled = {key: text for key, text in whole.items() if key not in found}
    given = list(filled.values())
    kept = tokens.are_kept(kind, given)
    spaces = tokens.leave_space(given) if kind == "query" else [True] * len(given)
    for key, is_kept, has_space in zip(filled, kept, spaces, strict=True):
        if not (is_kept and has_space):
            found[key] = NOT_KEPT if has_space else too_long
    return {key: found[key] for key in texts if key in found}


def tokenless(tokenizer: Any, texts: Mapping[str, str]) -> set[str]:
    """Which texts have no token, separators left aside.

    Where the tokenizer has a token for what it does not know, letters and digits always have one.
    """
    some = {
        key: text
        for key, text in texts.items()
        if tokenizer.unk_token_id is None or not any(map(str.isalnum, text))
    }
    if not some:
        return set()
    found = tokenizer(list(some.values()), add_special_tokens=False, verbose=False)["input_ids"]
    return {key for key, ids in zip(some, found, strict=True) if not ids}


def without(
    collection: Collection, queries: Mapping[str, str], documents: Mapping[str, str]
) -> Collection:
    """The collection without these queries and documents."""

    def kept(texts: Mapping[str, Any], wrong: Mapping[str, str]) -> Mapping[str, Any]:
        if not wrong:
            return texts  # which may be stored on disk
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


def named_few(left_out: Mapping[str, str]) -> str:
    """The first three texts that are left out and why, and how many more there are."""
    few = "; ".join(f"{name} {why}" for name, why in list(left_out.items())[:3])
    return few if len(left_out) <= 3 else f"{few}; and {len(left_out) - 3} more"
