"""A first stage over many passages, made of a collection's own words: memory, and time per query.

Words are drawn as often as the collection uses them, so that common words have long postings.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from unittest import mock

import numpy as np

from crosslens import collection, Run
from crosslens.corpora import stored
from crosslens.signals import Bm25Index, tokenize

from .memory import resident
from .timing import Measured, Table


WORDS = 50  # of a passage, in the mean
QUERIES = 50
GIB = 1024  # MiB


def passages(n: int) -> Table:
    """`n` passages read, indexed, found again by a second reading, and asked for."""
    texts = collection()
    with TemporaryDirectory() as name, mock.patch.object(stored, "LARGE", 0):
        folder = Path(name)
        with (folder / "docs.tsv").open("w", encoding="utf-8") as file:
            file.writelines(f"{i}\t{text}\n" for i, text in enumerate(synthetic(n)))
        asked = list(texts.queries.values())[:QUERIES]
        queries = "".join(f"{i}\t{text}\n" for i, text in enumerate(asked))
        (folder / "queries.tsv").write_text(queries, encoding="utf-8")
        run = "".join(f"0 Q0 {i % n} {i + 1} {-i} made\n" for i in range(min(n, 100_000)))
        (folder / "made.run").write_text(run, encoding="utf-8")
        cache = mock.patch.dict(os.environ, {stored.CACHE: str(folder / "cache")})
        Path("/proc/self/clear_refs").write_text("5")
        with cache:
            start = perf_counter()
            made = collection(folder)  # whose candidates BM25 finds
            indexed = perf_counter()
            index = Bm25Index(collection(folder).documents)
            again = perf_counter()
            seconds, found = [], []
            for query in asked:
                before = perf_counter()
                found.append(index.top(query, 100))
                seconds.append(perf_counter() - before)
            documents = made.documents
            before = perf_counter()
            got = [documents[docid] for each in found for docid, _ in each]
            lookup = (perf_counter() - before) / max(1, len(got))
            before = perf_counter()
            lines = sum(map(len, Run.load(folder / "made.run").values()))
            loaded = perf_counter() - before
        one = median(seconds)
        arms = {"first stage": Measured(one, 1.0, min(seconds) / one, max(seconds) / one)}
        facts = {
            "passages": float(n),
            "GiB at most": resident("VmHWM") / GIB,
            "s to read, keep, index and ask": indexed - start,
            "s to do it again": again - indexed,
            "ms for a document by id": 1e3 * lookup,
            "slowest query, ms": 1e3 * max(seconds),
            f"s for a run of {lines:,} lines": loaded,
        }
    return Table(f"{n:,} passages of {WORDS} words", "query", arms, facts)


def synthetic(n: int, seed: int = 0) -> Iterator[str]:
    """Passages of words drawn from those of the embedded collection, by how often they occur."""
    counts = Counter(word for text in collection().documents.values() for word in tokenize(text))
    words = np.array([*counts])
    share = np.array([*counts.values()], dtype=float)
    draw = np.random.default_rng(seed)
    for start in range(0, n, 10_000):
        lengths = draw.poisson(WORDS - 1, min(10_000, n - start)) + 1
        drawn = draw.choice(words, lengths.sum(), p=share / share.sum())
        yield from (" ".join(some) for some in np.split(drawn, lengths.cumsum()[:-1]))
