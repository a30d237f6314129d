from dataclasses import replace

import pytest
from ir_measures import ScoredDoc
from transformers import BertForSequenceClassification

from crosslens.default.training.collection import part
from crosslens.default.training.effectiveness import ndcg, ranked
from crosslens.default.training.vocabulary import read_tokenizer
from crosslens.not_measurable import NotMeasurable
from crosslens.ranking import Run


def test_ndcg_is_the_mean_over_the_judged_queries(collections):
    whole = collections["trec-dl-2019"]  # one answer of grade 3 among six documents, two queries
    [best, _] = whole.queries
    scored = [
        ScoredDoc(qid, docid, 1.0)
        for qid, labels in whole.labels.items()
        for docid, grade in labels.items()
        if (grade == 3) == (qid == best)
    ]
    # 1 where only the answer is ranked, 0 where only the others are
    assert ndcg(Run.of(scored), whole) == pytest.approx(0.5)


def test_nothing_to_measure_is_refused(collections):
    with pytest.raises(NotMeasurable, match="judges no query"):
        ndcg(Run({"another": ()}), collections["wikiqa"])


def test_every_candidate_is_scored_in_its_place(backbone, collections):
    model = BertForSequenceClassification.from_pretrained(backbone, num_labels=1).eval()
    tokenizer = read_tokenizer(backbone)
    one = part(collections["wikiqa"], query=lambda qid: qid.endswith("-3"))
    assert one
    [(qid, docs)] = ranked(model, tokenizer, one).items()
    assert {each.doc_id for each in docs} == set(one.candidates[qid])
    last = one.candidates[qid][-1]
    [alone] = ranked(model, tokenizer, replace(one, candidates={qid: (last,)}))[qid]
    [among] = [each.score for each in docs if each.doc_id == last]
    assert alone.score == pytest.approx(among, abs=0.02)
