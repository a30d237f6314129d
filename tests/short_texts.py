"""A little of the embedded collection."""

from dataclasses import replace

from crosslens import Collection, collection


def short_texts(queries: int, documents: int, *, seed: int = 0) -> Collection:
    """Some queries, so many documents of each, and the first twenty words of a document."""
    some = collection("embedded").sample(queries, documents, seed=seed)
    short = {key: " ".join(text.split()[:20]) for key, text in some.documents.items()}
    return replace(some, documents=short)
