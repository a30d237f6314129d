"""Early exit and heads as rankers on a planted model, whose layers and heads are known."""

from dataclasses import replace
from pathlib import Path

import pytest
from asked import Asked, asker
from crosslens.analyses import early_exit, head_rankings
from ir_measures import Qrel

from crosslens import Collection, collection, CrossEncoder, load, NotMeasurable, plant


PLANTED = "planted:bm25?decoys=3&layers=4&heads=3"


@pytest.fixture(scope="module")
def planted() -> CrossEncoder:
    return load(PLANTED)


@pytest.fixture(scope="module")
def texts(planted: CrossEncoder) -> Collection:
    """The two documents that the planted model likes best are the relevant ones."""
    some = collection("embedded").sample(8, 6)
    qrels = []
    for qid, docids in some.candidates.items():
        scores = planted.score(some.queries[qid], [some.documents[each] for each in docids])
        best = scores.argsort(descending=True)[:2].tolist()
        qrels += [Qrel(qid, docid, int(i in best)) for i, docid in enumerate(docids)]
    return replace(some, qrels=tuple(qrels))


@pytest.fixture
def asked(planted: CrossEncoder, texts: Collection, tmp_path: Path) -> Asked:
    return asker(planted, texts, tmp_path, pairs=48, depth=6)


def test_a_planted_ranking_is_there_from_the_layer_of_its_scoring_head_on(asked: Asked):
    found = asked(early_exit, folds=2)
    scoring, _ = plant(PLANTED).placement.scoring
    order = found.order.set_index(["reading", "layer"])
    assert (order.loc["head"][["tau", "first", "from_here_on"]].loc[scoring + 1 :] > 0.99).all(
        axis=None
    )
    earlier = [f"head {layer}" for layer in range(scoring + 1)]
    assert (found.candidates[earlier].std() < 1e-3 * found.candidates["model"].std()).all()
    control = order.loc[early_exit.CONTROLS["head"]]
    assert (control["tau"] < 0.5).all()
    quality = found.quality.set_index(["measure", "reading", "layer"])["mean"]["nDCG@10"]
    # of labels by lot a probe learns this one direction too, with either sign: no control here
    assert quality["probe", scoring + 1] > quality["probe", 0] + 0.1
    assert not found.quality.isna().any(axis=None) and not found.order.isna().any(axis=None)


def test_heads_that_attend_to_matches_rank_and_are_chosen(planted: CrossEncoder, asked: Asked):
    found = asked(head_rankings, best=2)
    placed = plant(PLANTED).placement
    attend = {placed.matching, *placed.decoy_heads}  # attention cannot tell these apart
    best = found.chosen[found.chosen["by"] == head_rankings.BEST]
    assert {*zip(best["layer"], best["head"], strict=True)} <= attend
    ndcg = found.rankers.set_index(["measure", "ranker"])["mean"]["nDCG@10"]
    assert ndcg["model"] == 1 and ndcg["best head"] > ndcg["head chosen by lot"]
    assert len(found.heads) == 2 * len(head_rankings.READINGS) * len(planted.heads())
    assert not found.heads.isna().any(axis=None)


def test_one_query_has_no_others_to_choose_on(texts: Collection, asked: Asked):
    one = texts.sample(1, 6)
    for module in (early_exit, head_rankings):
        with pytest.raises(NotMeasurable, match="other queries|needs two"):
            asked(module, one)
