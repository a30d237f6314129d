import pytest

from crosslens import ablate, collection, head, load, plant, rerank
from crosslens.effectiveness import evaluate
from crosslens.faithfulness import mean_over, nodes_of, rerank_alone


@pytest.fixture(scope="module")
def ranked_by_planted():
    planted = plant("bm25?seed=2&heads=3&decoys=2")
    return planted, load(planted), collection().sample(6, 6)


def test_the_planted_circuit_ranks_as_the_whole_model_and_others_do_not(ranked_by_planted):
    planted, model, some = ranked_by_planted
    found = rerank_alone(model, some, planted.circuit, rest=ablate)
    assert (found.queries["tau"] == 1).all() and (found.queries["flips"] == 0).all()
    summary = found.summary()
    assert summary.loc["nDCG(dcg='exp-log2')@10 difference", ["mean", "low", "high"]].tolist() == [
        0,
        0,
        0,
    ]
    decoy = rerank_alone(
        model,
        some,
        [head(*planted.placement.decoy_heads[0])],
        rest=ablate,
        whole=found.whole,
    )
    assert decoy.whole is found.whole
    assert decoy.queries["tau"].mean() < 0.5 and decoy.queries["flips"].sum() > 10


def test_all_nodes_are_the_model_and_measures_are_those_of_the_runs(ranked_by_planted):
    _, model, some = ranked_by_planted
    found = rerank_alone(model, some, nodes_of(model), rest=ablate)
    assert found.alone.rankings == found.whole.rankings
    assert found.whole.rankings == rerank(model.score, some).rankings
    judged = evaluate(found.whole, some).loc[found.queries.index]
    for measure in judged:
        for run in ("whole", "alone"):
            assert (found.queries[f"{measure} {run}"] == judged[measure]).all()
    assert len(found.queries) == 6


def test_the_rest_may_be_its_mean(ranked_by_planted):
    planted, model, some = ranked_by_planted
    texts = [(some.queries[q], some.documents[d]) for q, ds in some.candidates.items() for d in ds]
    pairs = model.pairs(*zip(*texts, strict=True))
    found = rerank_alone(model, some, planted.circuit, rest=mean_over(model, pairs))
    assert (found.queries["tau"] > 0.99).all()
    heads = model.heads()
    silent = rerank_alone(model, some, [], rest=mean_over(model, pairs), nodes=heads)
    assert silent.queries["tau"].mean() < 0.9


def test_a_collection_without_judgements_has_agreement_alone(ranked_by_planted):
    planted, model, some = ranked_by_planted
    unjudged = type(some)("bare", some.queries, some.documents, candidates=some.candidates)
    found = rerank_alone(model, unjudged, planted.circuit, rest=ablate)
    assert list(found.queries) == ["documents", "flips", "tau", "top10"]
    assert list(found.summary().index) == ["documents", "flips", "tau", "top10"]
