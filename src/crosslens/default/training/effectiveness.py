"""How well a ranking serves its readers: nDCG@10 with exponential gain, by ir-measures."""

from collections.abc import Mapping
from typing import Final

import ir_measures
import torch
from ir_measures import nDCG, Qrel, ScoredDoc
from tokenizers import Tokenizer
from transformers import BertForSequenceClassification

from .collection import Collection
from .reading import Lengths, Reader, score


# a grade g is worth 2^g - 1, as in trec_eval's relative and the MS MARCO leaderboards' papers
NDCG: Final = nDCG(dcg="exp-log2") @ 10

Scores = Mapping[str, Mapping[str, float]]  # of a document, by query and document


def ndcg(scores: Scores, grades: Mapping[str, Mapping[str, int]]) -> float:
    """The mean over the queries of `scores`, from 0 to 1; documents without a grade count 0."""
    queries = scores.keys() & grades.keys()
    if not queries:
        raise ValueError("no query has both scores and grades, so there is nothing to measure")
    # the program that ir-measures runs for this gain wants topics to be numbers
    judged, run = [], []
    for topic, query in enumerate(sorted(queries), start=1):
        judged.extend(Qrel(str(topic), d, g) for d, g in grades[query].items())
        run.extend(ScoredDoc(str(topic), d, float(s)) for d, s in scores[query].items())
    return float(ir_measures.calc_aggregate([NDCG], judged, run)[NDCG])


def rerank(
    model: BertForSequenceClassification, tokenizer: Tokenizer, collection: Collection
) -> dict[str, dict[str, float]]:
    """The model's score of every candidate of every query of `collection`."""
    documents = list(collection.documents)
    place = {docid: i for i, docid in enumerate(documents)}
    texts = [*collection.documents.values(), *collection.queries.values()]
    reader = Reader.of(texts, tokenizer, Lengths(pair=256, query=64))
    scores = {}
    with torch.inference_mode():
        for i, qid in enumerate(collection.queries):
            docids = [d for d in collection.candidates[qid] if d in place]
            pairs = [(len(documents) + i, place[docid]) for docid in docids]
            if pairs:
                scores[qid] = dict(zip(docids, score(model, reader, pairs).tolist(), strict=True))
    return scores
