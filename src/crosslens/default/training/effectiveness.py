"""How well a ranking serves its readers: nDCG@10 with exponential gain, by ir-measures."""

from collections.abc import Mapping
from typing import Final

import ir_measures
import torch
from ir_measures import nDCG, Qrel, ScoredDoc
from tokenizers import Tokenizer
from transformers import BertForSequenceClassification

from .collection import Collection
from .reading import Reader, score, TESTED


# a grade g is worth 2^g - 1 (Burges et al. 2005); spelt out, because ir-measures leaves its own
# name for it, nDCG(dcg="exp-log2"), to a Perl script that takes only numbers for query ids
NDCG: Final = nDCG(gains={grade: 2**grade - 1 for grade in range(8)}) @ 10

Scores = Mapping[str, Mapping[str, float]]  # of a document, by query and document


def ndcg(scores: Scores, grades: Mapping[str, Mapping[str, int]]) -> float:
    """The mean over the queries of `scores`, from 0 to 1; documents without a grade count 0."""
    queries = scores.keys() & grades.keys()
    if not queries:
        raise ValueError("no query has both scores and grades, so there is nothing to measure")
    judged = [Qrel(q, d, g) for q in sorted(queries) for d, g in grades[q].items()]
    run = [ScoredDoc(q, d, float(s)) for q in sorted(queries) for d, s in scores[q].items()]
    return float(ir_measures.calc_aggregate([NDCG], judged, run)[NDCG])


def rerank(
    model: BertForSequenceClassification, tokenizer: Tokenizer, collection: Collection
) -> dict[str, dict[str, float]]:
    """The model's score of every candidate of every query of `collection`."""
    documents = list(collection.documents)
    place = {docid: i for i, docid in enumerate(documents)}
    texts = [*collection.documents.values(), *collection.queries.values()]
    reader = Reader.of(texts, tokenizer, TESTED)
    scores = {}
    with torch.inference_mode():
        for i, qid in enumerate(collection.queries):
            docids = [d for d in collection.candidates[qid] if d in place]
            pairs = [(len(documents) + i, place[docid]) for docid in docids]
            if pairs:
                scores[qid] = dict(zip(docids, score(model, reader, pairs).tolist(), strict=True))
    return scores
