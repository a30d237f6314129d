"""The reranker's ranking of a collection's candidates, and its nDCG@10."""

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer
from transformers import BertForSequenceClassification

from ...corpora.collection import Collection
from ...effectiveness import evaluate, standard_measures
from ...ranking import rerank, Run
from .reading import Reader, score, TESTED


def ndcg(run: Run, collection: Collection) -> float:
    """The mean nDCG@10 over the judged queries, with gains 2^label − 1 (Burges et al. 2005)."""
    [measure, *_] = standard_measures(collection.judgements)
    return float(evaluate(run, collection, [measure])[str(measure)].to_numpy().mean())


def ranked(
    model: BertForSequenceClassification, tokenizer: Tokenizer, collection: Collection
) -> Run:
    """The candidates of every query of `collection`, ordered by the model's score."""

    def scores(query: str, documents: Sequence[str]) -> Sequence[float]:
        reader = Reader.of([query, *documents], tokenizer, TESTED)
        with torch.inference_mode():
            pairs = [(0, i) for i in range(1, len(documents) + 1)]
            return score(model, reader, pairs).tolist()

    return rerank(scores, collection)
