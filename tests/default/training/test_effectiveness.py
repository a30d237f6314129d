import math

import pytest
from transformers import BertForSequenceClassification

from crosslens.default.training.effectiveness import ndcg, rerank
from crosslens.default.training.vocabulary import read_tokenizer


GRADES = {"q-one": {"a": 3, "b": 0, "c": 1}}


def test_gain_is_exponential_and_discount_logarithmic():
    best = 7 + 1 / math.log2(3)
    found = 1 + 7 / math.log2(3)
    assert ndcg({"q-one": {"a": 1.0, "b": 0.0, "c": 2.0}}, GRADES) == pytest.approx(found / best)
    assert ndcg({"q-one": {"a": 3.0, "b": 0.0, "c": 2.0}}, GRADES) == pytest.approx(1.0)


def test_nothing_to_measure_is_refused():
    with pytest.raises(ValueError, match="no query has both scores and grades"):
        ndcg({"another": {"a": 1.0}}, GRADES)


def test_every_candidate_is_scored_in_its_place(backbone, collections):
    model = BertForSequenceClassification.from_pretrained(backbone, num_labels=1).eval()
    tokenizer = read_tokenizer(backbone)
    one = collections["wikiqa"].only(lambda qid: qid.endswith("-3"))
    [(qid, scores)] = rerank(model, tokenizer, one).items()
    assert list(scores) == one.candidates[qid]
    last = one.candidates[qid][-1]
    one.candidates[qid][:] = [last]
    alone = rerank(model, tokenizer, one)[qid][last]
    assert alone == pytest.approx(scores[last], abs=0.02)
