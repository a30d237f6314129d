"""The analyses of zhan2020 on planted models, where it is known what they must find."""

import pytest
from crosslens.analyses import (
    interaction_masks,
)
from crosslens.analyses.running import Given

from crosslens import Collection, collection, CrossEncoder, Findings, load, plant


PLANTED = "planted:bm25?decoys=4&layers=5"


@pytest.fixture(scope="module")
def planted() -> CrossEncoder:
    return load(PLANTED)


@pytest.fixture(scope="module")
def texts() -> Collection:
    return collection("embedded").sample(6, 6)


def asked(module, model: CrossEncoder, texts: Collection, out, **options):
    defaults = getattr(module, "Options", None)
    pairs = options.pop("pairs", 24)
    chosen = defaults(**options) if defaults else None
    run = Findings.create(out / module.__name__, {"analysis": module.__name__})
    given = Given(model, (texts,), pairs, 0, chosen, run, lambda *_: None)
    return module.analyse(given)


def matching_layer(model: CrossEncoder) -> int:
    return min(unit.site.layer for unit in plant(PLANTED).circuit.roles["matching"])


def test_hiding_the_document_destroys_the_score_from_the_matching_head_on_and_not_before(
    planted: CrossEncoder, texts: Collection, tmp_path
):
    answer = asked(interaction_masks, planted, texts, tmp_path, depth=6)
    found, at = answer.candidates, matching_layer(planted)
    for i in range(1, planted.cfg.n_layers + 1):
        change = (found[f"query {i}"] - found["original"]).abs()
        if i <= at:
            assert (change == 0).all()
        else:
            assert change.max() > 0.5
        assert ((found[f"document {i}"] - found["original"]).abs() == 0).all()
    rankings = answer.rankings.set_index(["measure", "hidden_from", "layers"])["mean"]
    ndcg = rankings["nDCG@10"]
    assert ndcg["query", at] == ndcg["query", 0] > ndcg["query", at + 1]
    assert (ndcg["both"] == ndcg["query"]).all()
