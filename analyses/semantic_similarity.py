"""Are the passages that the model puts first closer to the query in meaning than BM25's?

The cosine of query and first passage, by a sentence encoder of your choice, for the model's first
and BM25's first passage of every query where the two differ. Jiang et al. (2021), appendix F.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple

import numpy as np

from crosslens import NotMeasurable
from crosslens.batching import BatchSize
from crosslens.frames import Frame, pd
from crosslens.signals import Bm25Index

from .means import paired_row
from .running import Given, main
from .samples import ranked


IS_SPLIT = True


class Options(NamedTuple):
    pairs: int = 48
    encoder: Annotated[
        str, "A sentence-transformers encoder: a local folder, or a hub id. Required."
    ] = ""


@dataclass(frozen=True)
class Answer:
    """By query; and the comparison."""

    queries: Frame  # qid, model, bm25: cosines with the query
    similarity: Frame  # encoder, model, bm25, difference, low, high, p, n


AT_ONCE: Final = 32  # texts


def analyse(given: Given) -> Answer:
    """Both first passages of every query, encoded once."""
    name = given.options.encoder
    if not name:
        raise ValueError(
            "--encoder is missing: name a sentence-transformers encoder, such as a local copy of "
            "paraphrase-MiniLM-L6-v2"
        )
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise ImportError(
            "an encoder needs sentence-transformers: pip install sentence-transformers"
        ) from None
    texts = given.texts
    ranking = ranked(given, given.pairs, 1)
    index = Bm25Index(texts.documents)
    rows = []
    for row in ranking.itertuples():
        docids = texts.candidates[row.qid]
        best = docids[int(np.argmax(index.scores(texts.queries[row.qid], docids)))]
        if best != row.docid:
            rows.append((row.qid, row.docid, best))
    if not rows:
        raise NotMeasurable("the model and BM25 put the same passage first for every query")
    encoder = SentenceTransformer(name, device=str(given.model.device))

    size = BatchSize(AT_ONCE, item="text")

    def some_encoded(some: Sequence[str]) -> np.ndarray:
        return encoder.encode(
            list(some), batch_size=len(some), normalize_embeddings=True, show_progress_bar=False
        )

    def encode(those: list[str]) -> np.ndarray:
        return np.concatenate([found for _, found in size.batches(some_encoded, those)])

    query = encode([texts.queries[qid] for qid, _, _ in rows])
    model = encode([texts.documents[docid] for _, docid, _ in rows])
    bm25 = encode([texts.documents[docid] for _, _, docid in rows])
    cosines = pd.DataFrame(
        {
            "qid": [qid for qid, _, _ in rows],
            "model": (query * model).sum(axis=1),
            "bm25": (query * bm25).sum(axis=1),
        }
    )
    a, b = cosines["model"].to_numpy(dtype=float), cosines["bm25"].to_numpy(dtype=float)
    means = {"encoder": name, "model": a.mean(), "bm25": b.mean()}
    similarity = {**means, **paired_row(a, b, given.seed), "n": len(a)}
    return Answer(cosines, pd.DataFrame([similarity]))


if __name__ == "__main__":
    main(__spec__.name)
