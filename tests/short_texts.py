"""A little of the embedded collection, and texts with shorter sentences."""

from dataclasses import replace

from crosslens import Collection, collection


def short_texts(queries: int, documents: int, *, seed: int = 0) -> Collection:
    """Some queries, so many documents of each, and the first twenty words of a document."""
    some = collection("embedded").sample(queries, documents, seed=seed)
    short = {key: " ".join(text.split()[:20]) for key, text in some.documents.items()}
    return replace(some, documents=short)


def short_sentences(some: Collection, words: int) -> Collection:
    """So many words of each sentence of a document, and those of any query."""
    asked = {word for query in some.queries.values() for word in query.lower().split()}

    def short(sentence: str) -> str:
        every = sentence.split()
        return " ".join(every[:words] + [each for each in every[words:] if each.lower() in asked])

    documents = {
        name: " ".join(f"{short(each)}." for each in text.split(".") if each.strip())
        for name, text in some.documents.items()
    }
    return replace(some, documents=documents)
