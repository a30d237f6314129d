"""The analyses of qiao2019 on planted models, where it is known what they must find."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from asked import Asked, asker
from crosslens.analyses import attention_majority, scoring_heads, term_removal, without_markers
from crosslens.analyses.attention_majority import counted, COUNTS, GROUPS, groups_of
from crosslens.analyses.running import Given
from crosslens.analyses.term_removal import gini, lexical
from crosslens.analyses.without_markers import deleted

from crosslens import (
    Bm25Index,
    Collection,
    collection,
    CrossEncoder,
    Findings,
    Hook,
    load,
    NotMeasurable,
    Pairs,
    plant,
    Site,
    Unit,
)
from crosslens.words import leave_one_out, words_of


PLANTED = "planted:bm25?layers=3&heads=3&decoys=1"


@pytest.fixture(scope="module")
def planted() -> CrossEncoder:
    return load(PLANTED)


@pytest.fixture(scope="module")
def texts() -> Collection:
    """Documents that the planted BM25 scores high are relevant."""
    few, bm25 = collection("embedded").sample(9, 6), plant(PLANTED)
    scores = {
        qid: {docid: bm25.bm25(few.queries[qid], few.documents[docid]) for docid in docids}
        for qid, docids in few.candidates.items()
    }
    qrels = tuple(
        each._replace(relevance=int(own[each.doc_id] > np.median([*own.values()])))
        for each in few.qrels
        if each.doc_id in (own := scores[each.query_id])
    )
    return replace(few, qrels=qrels)


@pytest.fixture
def asked(planted: CrossEncoder, texts: Collection, tmp_path: Path) -> Asked:
    return asker(planted, texts, tmp_path, pairs=54, depth=6)


def test_leave_one_out_names_the_planted_terms_and_other_words_do_nothing(asked: Asked):
    answer = asked(term_removal, pairs=8, depth=4, trained=40)
    own = answer.words[answer.words["scorer"] == term_removal.MODEL]
    is_match = own["match"] == "exact"
    assert own.loc[is_match, "influence"].mean() > 20 * own.loc[~is_match, "influence"].abs().mean()
    found = answer.matches.set_index(["scorer", "match"])
    for scorer in (term_removal.MODEL, term_removal.BM25):
        assert found.loc[(scorer, "exact"), "share"] == 1
        assert found.loc[(scorer, "exact"), "control"] < 0.5
    corners = answer.corners.set_index(["scorer", "statistic"])["value"].unstack()
    assert corners.loc[term_removal.MODEL, "Gini of the changes of a passage"] > 0.5
    assert set(corners.index) == {term_removal.MODEL, term_removal.BM25, term_removal.TERM_TRANS}
    assert not answer.words.isna().any().any()
    drawn = answer.words[answer.words["is_drawn"]]
    assert (drawn.groupby(["scorer", "qid", "docid"]).size() == 1).all()


def test_bm25_of_pairs_is_that_of_texts(planted: CrossEncoder, texts: Collection):
    index = Bm25Index(texts.documents)
    pairs = planted.pair("boat river", "a boat needs a river", "the bus goes by")
    scorer = lexical(index.frequencies)
    assert scorer(pairs).tolist() == pytest.approx([*index("boat river", pairs.document)])
    found = leave_one_out(scorer, pairs, among=pairs.where("document")).words()
    own = found[(found["pair"] == 0) & (found["segment"] == "document")].set_index("text")["value"]
    left = index("boat river", ["a needs a river"])[0]
    assert own["boat"] == pytest.approx(scorer(pairs)[0].item() - left, abs=1e-6)
    assert len(found) == sum(len(words_of(pairs, i)) for i in range(2))
    query = found[(found["segment"] == "query") & (found["pair"] == 0)]
    assert (query["value"] == 0).all(), "words of the query were not asked for"


def test_gini_is_that_of_equal_and_of_single_shares():
    assert gini(np.ones(5)) == pytest.approx(0)
    assert gini(np.array([0.0, 0, 0, 3])) == pytest.approx(3 / 4)


def test_each_token_is_in_one_group_and_gives_the_majority_to_one_at_most(
    model: CrossEncoder, pairs: Pairs
):
    stop = pairs.token[pairs.where("document")][:2]
    groups = groups_of(pairs, stop)
    assert (groups.sum(dim=0) == pairs.attended).all() and groups.any(dim=2).any(dim=1).all()
    found = counted(model, pairs, stop)
    majority = found[found["counts"] == "majority"]
    total = majority.groupby(["layer", "head", "text"])["share"].sum()
    assert (total <= 1).all()
    with torch.no_grad(), model.record("pattern") as cache:
        model(pairs)
    for row in found.sample(60, random_state=0).itertuples():
        i = [*map("\n".join, zip(pairs.query, pairs.document, strict=True))].index(row.text)
        pattern = cache[Site("pattern", row.layer)][i]
        pattern = pattern.mean(dim=0) if row.head < 0 else pattern[row.head]
        group = groups[GROUPS.index(row.group), i]
        given = pattern[pairs.attended[i]][:, group].sum(dim=1)
        share = {"majority": 1 / 2, "more than a third": 1 / 3}
        least = share.get(row.counts, (group.sum() / pairs.lengths[i]).item())
        assert row.senders == (given > least).sum(), COUNTS


def test_attention_that_is_put_on_the_markers_is_counted_there(model: CrossEncoder, pairs: Pairs):
    def on_markers(pattern: torch.Tensor, running: Pairs) -> torch.Tensor:
        markers = running.where("cls", "sep1", "sep2").to(pattern)
        return (markers / markers.sum(dim=1, keepdim=True))[:, None, None].expand_as(pattern)

    stop = pairs.token[pairs.where("document")][:2]
    with model.hooked(Hook(Unit(Site("pattern", 1)), on_markers, sees_pairs=True)):
        found = counted(model, pairs, stop)
    there = found[found["layer"] == 1].groupby(["counts", "group"])["share"]
    for name in COUNTS:
        assert (there.min()[name, "markers"], there.max()[name, "regular words"]) == (1, 0)
    elsewhere = found[(found["layer"] == 0) & (found["counts"] == "majority")]
    assert (elsewhere[elsewhere["group"] == "markers"]["share"] < 1).all()


def test_words_that_are_deleted_leave_the_text_without_them(planted: CrossEncoder):
    pairs = planted.pair("boat river", "a boat needs a river", "the bus goes by")
    stop = pairs.token[0, pairs.where("document")[0]][:1]  # "a"
    found = deleted(pairs, stop, seed=0)
    torch.testing.assert_close(
        planted(found["stop words deleted"])[:1],
        planted(planted.pair("boat river", "boat needs river")),
    )
    for each in found.values():
        assert (pairs.lengths - each.lengths).tolist() == [2, 0]
        assert (each.where("query").sum(dim=1) == pairs.where("query").sum(dim=1)).all()


def test_a_planted_ranking_needs_matches_and_not_stop_words(asked: Asked):
    answer = asked(without_markers, pairs=36)
    found = answer.rankings.set_index(["condition", "measure"])["mean"].unstack()["nDCG@10"]
    assert found["stop words deleted"] >= found["original"] - 0.02
    assert found["as many others deleted"] < found["original"]
    assert not answer.rankings.isna().any().any()


def test_in_a_decoder_the_first_token_cannot_be_hidden_from_itself(
    texts: Collection, tmp_path: Path
):
    run = Findings.create(tmp_path, {"analysis": "without_markers"})
    causal, options = load("planted:causal"), without_markers.Options()
    given = Given(causal, (texts,), 36, 0, options, run, lambda *_: None)
    with pytest.raises(NotMeasurable, match="the first token reads itself alone"):
        without_markers.analyse(given)


def test_a_head_reads_what_was_planted_and_labels_by_lot_teach_it_nothing(asked: Asked):
    answer = asked(scoring_heads, pairs=36, folds=3, epochs=3, rate=2e-2)
    found = answer.rankers.set_index(["ranker", "measure"])["mean"].unstack()["nDCG@10"]
    assert found[scoring_heads.MODEL] == pytest.approx(1, abs=0.02)
    assert found["Last-Int"] == pytest.approx(1, abs=0.02) and found["Last-Int"] > found["Rep"]
    # a direction may rank well by chance; what it cannot do is fit labels dealt by lot
    losses = answer.epochs[answer.epochs["epoch"] == 3].groupby("ranker")["loss"].mean()
    assert losses["Last-Int"] < losses["Last-Int" + scoring_heads.SHUFFLED]
    assert set(answer.epochs["epoch"]) == set(range(4))
    assert not answer.rankers.isna().any().any()
    base = answer.rankers[answer.rankers["ranker"] == scoring_heads.BM25]
    assert (base["relative"] == 0).all() and (base["p"] == 1).all()


def test_texts_that_do_not_allow_an_answer_say_why(asked: Asked, texts: Collection):
    for module in (attention_majority, scoring_heads, term_removal, without_markers):
        with pytest.raises(NotMeasurable, match="both relevant and other candidates"):
            asked(module, texts.graded(lambda _: 1))
    with pytest.raises(NotMeasurable, match="9 queries in 2 folds"):
        asked(scoring_heads, folds=2)
