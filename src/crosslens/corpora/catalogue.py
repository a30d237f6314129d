"""Public test collections by their ir_datasets name, fetched by that library."""

from collections.abc import Collection as Ids, Iterable, Iterator
from typing import Any, Final

from ir_measures import Qrel

from .candidates import is_pool, pooled
from .collection import Collection
from .records import require_some


# more documents than this are not read through to let BM25 find candidates among them
MOST_DOCUMENTS: Final = 1_000_000


def read_ir_datasets(name: str, only: Ids[str] | None = None) -> Collection:
    """The collection that ir_datasets knows by this name, such as `beir/scifact/test`.

    Only the documents that are judged or listed as candidates are read, unless BM25 has to find
    the candidates. With `only` these documents are read, and there are no candidates. Queries that
    nobody judged are left out where any are judged, unless there is `only`.

    Raises:
        ImportError: ir_datasets is not installed.
        LookupError: it knows no such collection, or one without queries.
        ValueError: candidates would have to be found among over a million documents.
    """
    try:
        import ir_datasets
    except ImportError as error:
        raise ImportError(
            f"collection 'ir_datasets:{name}' needs ir_datasets; install it with "
            "pip install 'crosslens[data]'"
        ) from error
    try:
        dataset: Any = ir_datasets.load(name)
    except KeyError:
        raise LookupError(
            f"ir_datasets knows no collection {name!r}; its names are listed at "
            "https://ir-datasets.com, for instance 'msmarco-passage/trec-dl-2019/judged'"
        ) from None
    if not (dataset.has_queries() and dataset.has_docs()):
        raise LookupError(f"the ir_datasets collection {name!r} lacks queries or documents")

    qrels = tuple(
        Qrel(each.query_id, each.doc_id, int(each.relevance))
        for each in (dataset.qrels_iter() if dataset.has_qrels() else ())
    )
    judges = {qrel.query_id for qrel in qrels}
    queries = {
        each.query_id: each.default_text()
        for each in dataset.queries_iter()
        if each.query_id in judges or not judges or only is not None
    }
    listed: dict[str, dict[str, None]] = {}
    has_listed = only is None and dataset.has_scoreddocs()
    for each in dataset.scoreddocs_iter() if has_listed else ():
        if each.query_id in queries:
            listed.setdefault(each.query_id, {})[each.doc_id] = None

    wanted = {docid for docids in listed.values() for docid in docids} | set(only or ())
    wanted |= {qrel.doc_id for qrel in qrels} if only is None else set()
    if only is not None or listed or is_pool(qrels):
        texts = {key: doc.default_text() for key, doc in documents_of(dataset, wanted)}
    else:
        texts = {doc.doc_id: doc.default_text() for doc in every_document(dataset, name)}
    documents = {docid: text for docid, text in texts.items() if text.strip()}
    if only is not None:
        require_some(only, documents)
    found = Collection(
        name=name,
        queries=queries,
        documents=documents,
        qrels=tuple(qrel for qrel in qrels if qrel.doc_id in documents),
        candidates={
            qid: tuple(docid for docid in docids if docid in documents)
            for qid, docids in listed.items()
        },
        source=f"ir_datasets:{name}",
        pool="scored documents of ir_datasets" if listed else "",
        # of a run, what the collection lacks is an error of the run
        dropped=tuple(sorted((texts.keys() | (wanted if only is None else ())) - documents.keys())),
    )
    return pooled(found) if only is None else found


def documents_of(dataset: Any, docids: Iterable[str]) -> Iterable[tuple[str, Any]]:
    """The documents with these ids, as far as the collection has them."""
    return dataset.docs_store().get_many(sorted(docids)).items()


def every_document(dataset: Any, name: str) -> Iterator[Any]:
    # counted here, as ir_datasets knows the count only of what it has indexed
    for seen, document in enumerate(dataset.docs_iter()):
        if seen == MOST_DOCUMENTS:
            raise ValueError(
                f"the ir_datasets collection {name!r} lists only relevant documents, and "
                f"candidates would have to be found among more than {MOST_DOCUMENTS:,}; write the "
                "queries, the documents of a first-stage run and that run (run.txt) into a folder "
                "and name the folder instead"
            )
        yield document
