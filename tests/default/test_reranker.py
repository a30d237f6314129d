"""The reranker that ships: whole, small, and better than words alone on the collection with it."""

import pytest
import torch

from crosslens import collection, load, rerank
from crosslens.default.weights import embedded_reranker
from crosslens.effectiveness import evaluate
from crosslens.signals import Bm25Index


NDCG = "nDCG(dcg='exp-log2')@10"


@pytest.fixture(scope="module")
def reranker():
    return load()


def test_it_is_what_load_gives_in_single_precision(reranker):
    assert reranker.cfg.checkpoint == "embedded" and reranker.cfg.n_layers == 6
    assert reranker.W_E.dtype == torch.float32 and str(reranker.relevance) == "the logit"


def test_it_takes_less_than_thirty_megabytes():
    assert sum(path.stat().st_size for path in embedded_reranker().iterdir()) < 30e6


def test_an_unknown_word_splits_and_only_foreign_scripts_are_unknown(reranker):
    tokenizer = reranker.tokens.tokenizer
    assert tokenizer.unk_token not in tokenizer.tokenize("zyzzyvas flibbertigibbet 1234567 e=mc2")
    assert tokenizer.tokenize("日") == [tokenizer.unk_token]


def test_it_ranks_the_embedded_collection_better_than_bm25(reranker):
    some = collection("embedded").sample(8, 8, seed=1)
    model = evaluate(rerank(reranker.score, some), some)[NDCG]
    words = evaluate(rerank(Bm25Index(some.documents), some), some)[NDCG]
    assert model.mean() > words.mean() + 0.02


def test_an_answer_scores_above_another_subject_and_loses_without_the_query_words(reranker):
    query = "how do earthworms breathe without lungs"
    full = "Earthworms breathe through their moist skin, which takes in oxygen without lungs."
    spoilt = full.replace("Earthworms", "Trains").replace("breathe", "run")
    other = "A barometer measures air pressure with a column of mercury in a glass tube."
    best, worse, worst = reranker.score(query, [full, spoilt, other]).tolist()
    assert best > worse + 1 and best > worst + 1


def test_its_card_states_the_figures_it_promises():
    card = (embedded_reranker() / "README.md").read_text()
    for test in ("trec-dl-2019", "cranfield", "wikiqa"):
        assert test in card
