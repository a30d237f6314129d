"""The analyses of zhan2020 on planted models, where it is known what they must find."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from asked import Asked, asker
from crosslens.analyses import (
    attention_groups,
    hidden_periods,
    interaction_masks,
    layer_attribution,
    layer_probes,
)
from crosslens.analyses.interaction_masks import (
    interaction_mask,
    masked_prefixes,
    with_other_queries,
)

from crosslens import (
    attention_mask,
    Collection,
    collection,
    CrossEncoder,
    load,
    NotMeasurable,
    Pairs,
    plant,
    token_mask,
)


PLANTED = "planted:bm25?decoys=4&layers=5"
SHALLOW = "planted:bm25?layers=3&heads=3&decoys=1"  # where a probe is fitted after every layer
MATCHING, SCORING = 2, 3
DECOYS = 4  # the layer in which all of them stand


@pytest.fixture(scope="module")
def planted() -> CrossEncoder:
    placed = plant(PLANTED).placement
    assert (placed.matching[0], placed.scoring[0]) == (MATCHING, SCORING)
    assert {layer for layer, _ in placed.decoy_heads} == {DECOYS}
    return load(PLANTED)


@pytest.fixture(scope="module")
def texts() -> Collection:
    return collection("embedded").sample(6, 6)


@pytest.fixture
def asked(planted: CrossEncoder, texts: Collection, tmp_path: Path) -> Asked:
    return asker(planted, texts, tmp_path, pairs=24)


def test_hiding_the_document_destroys_the_score_from_the_matching_head_on_and_not_before(
    asked: Asked,
):
    answer = asked(interaction_masks, pairs=12, depth=6)
    found = answer.candidates
    for i in range(1, DECOYS + 2):
        change = (found[f"query {i}"] - found["original"]).abs()
        assert (change == 0).all() if i <= MATCHING else change.max() > 0.5
        # no word of a document learns anything from the query
        for name, same in (("document", "original"), ("both", f"query {i}")):
            assert (found[f"{name} {i}"] - found[same]).abs().max() < 1e-4
    ndcg = answer.rankings.set_index(["measure", "hidden_from", "layers"])["mean"]["nDCG@10"]
    assert ndcg["query", MATCHING] == ndcg["query", 0] > ndcg["query", MATCHING + 1]
    assert not answer.rankings.isna().any().any()


def test_attention_ranks_decoys_as_high_as_the_matching_head_and_a_mask_does_not(
    asked: Asked, planted: CrossEncoder, texts: Collection
):
    placed = plant(PLANTED).placement
    heads = asked(attention_groups).heads.set_index(["group", "kind", "layer", "head"])
    given = heads.sort_index()["share"]["doc -> query", "relevant"]
    for place in placed.decoy_heads:
        assert given[place] == pytest.approx(given[placed.matching], rel=0.02)
    qid, documents = next(iter(texts.candidates.items()))
    pairs = planted.pair(texts.queries[qid], *(texts.documents[each] for each in documents))
    base = planted(pairs)
    for layer, moves in ((DECOYS, False), (MATCHING, True)):
        with planted.hooked(*interaction_mask(layer, "query")):
            assert bool((planted(pairs) != base).any()) is moves


def test_attention_of_a_block_is_at_most_all_and_kinds_are_paired_by_query(asked: Asked):
    answer = asked(attention_groups)
    heads = answer.heads.set_index(["group", "kind", "layer", "head"]).sort_index()["share"]
    assert (heads["query -> query"] + heads["doc -> query"] <= 1 + 1e-6).all()
    layers = answer.layers.set_index(["group", "layer", "kind"]).sort_index()["share"]
    for row in answer.differences.itertuples():
        pair = layers[row.group, row.layer]
        assert row.difference == pytest.approx(pair["relevant"] - pair["other"])


def test_what_is_read_moves_from_document_to_query_to_cls_as_it_was_planted(asked: Asked):
    answer = asked(layer_attribution, pairs=3)
    found = answer.groups.set_index(["baseline", "group", "layer"])["attribution"]["empty document"]
    change = answer.completeness["change"].iloc[-1]
    for layer in range(DECOYS + 1):
        reader = "document" if layer <= MATCHING else "query" if layer <= SCORING else "[CLS]"
        assert found[reader, layer] / change > 0.8, layer
        others = {"document", "query", "[CLS]"} - {reader}
        assert max(abs(found[each, layer]) / change for each in others) < 0.2, layer
    assert (answer.completeness["complete"] == 1).all()


@pytest.fixture
def probed(texts: Collection, tmp_path: Path) -> Asked:
    return asker(load(SHALLOW), texts, tmp_path, pairs=72, depth=6, epochs=0, folds=2)


def test_relevance_is_read_where_it_is_written_and_not_before(asked: Asked):
    many = collection("embedded").sample(12, 6)
    answer = asked(layer_probes, many, pairs=72, depth=6, epochs=0, folds=2)
    found = answer.controls.set_index(["group", "layer"])
    cls = found.loc["[CLS]"]
    assert (cls["auroc"][: SCORING + 1] == 0.5).all() and (cls["auroc"][SCORING + 1 :] > 0.55).all()
    assert found["control"].between(0.25, 0.75).all()
    query = found.loc["query"]["auroc"]
    assert query[: MATCHING + 1].max() < query[MATCHING + 1]
    assert not answer.probes.isna().any().any() and not answer.controls.isna().any().any()


def test_the_papers_probe_is_there_with_and_without_its_padding(probed: Asked):
    answer = probed(layer_probes, pairs=16, depth=4, epochs=1)
    probes = set(zip(answer.probes["probe"], answer.probes["group"], strict=True))
    assert ("paper", "[CLS]") in probes and ("paper, padding counts", "query terms") in probes
    assert ("paper, padding counts", "[CLS]") not in probes, "no pair has two [CLS]"


def test_relevant_documents_alone_are_scored_anew(asked: Asked, planted: CrossEncoder):
    answer = asked(hidden_periods, depth=6)
    found = answer.candidates
    conditions = found[["attention mask", "token mask", "commas"]].sub(found["original"], axis=0)
    assert (conditions[~found["is_relevant"] | (found["periods"] == 0)] == 0).all().all()
    texts = collection("embedded")
    row = found[found["is_relevant"] & (found["periods"] > 0)].iloc[0]
    changed = texts.documents[row["docid"]].replace(".", ",")
    assert planted.score(texts.queries[row["qid"]], [changed]).item() == pytest.approx(
        row["commas"]
    )


@pytest.mark.parametrize("name", ["query", "document", "both"])
def test_prefixes_of_masks_score_as_whole_passes_do(model: CrossEncoder, pairs: Pairs, name: str):
    n = model.cfg.n_layers
    hooks = [interaction_mask(layer, name) for layer in range(n)]
    found = masked_prefixes(model, pairs, [hook for each in hooks for hook in each])
    for i in range(1, n + 1):
        with torch.no_grad(), model.hooked(*(hook for each in hooks[:i] for hook in each)):
            torch.testing.assert_close(found[i - 1], model(pairs))


def test_document_states_do_not_depend_on_the_query_under_the_token_mask_alone(
    model: CrossEncoder, pairs: Pairs
):
    other = with_other_queries(replace(pairs, token=pairs.token.clone()))
    query = pairs.where("query")
    assert (other.token != pairs.token)[query].any()
    assert (other.token == pairs.token)[~query].all()
    dst, src = ("document", "sep2"), ("cls", "query", "sep1")
    outputs, inside = model.block_outputs(), pairs.where(*dst)
    for mask, is_equal in ((token_mask, True), (attention_mask, False)):
        states = []
        for each in (pairs, other):
            hooks = [mask(layer, dst=dst, src=src) for layer in range(model.cfg.n_layers)]
            with torch.no_grad(), model.hooked(*hooks), model.record(*outputs) as cache:
                model(each)
            states.append(cache)
        for site in outputs:
            one, two = (cache[site][inside] for cache in states)
            assert bool((one == two).all()) is is_equal


def test_texts_that_do_not_allow_an_answer_say_why(asked: Asked, probed: Asked, texts: Collection):
    for module in (attention_groups, hidden_periods, interaction_masks, layer_probes):
        with pytest.raises(NotMeasurable, match="both relevant and other candidates"):
            asked(module, texts.graded(lambda _: 1))
    bare = replace(
        texts, documents={key: text.replace(".", "") for key, text in texts.documents.items()}
    )
    with pytest.raises(NotMeasurable, match="has a period"):
        asked(hidden_periods, bare)
    missing = probed(layer_probes, bare, pairs=16, depth=4).missing.set_index("group")
    assert missing["share"]["periods"] == 1 > missing["share"]["query terms"]
    with pytest.raises(NotMeasurable, match="needs two, found 1"):
        asked(layer_probes, pairs=4, epochs=0)
