"""What holds of a planted encoder and of a planted decoder alike."""

import time

import pytest
import torch
from saved import save
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from crosslens import ablate, head, load, plant, sweep


@pytest.fixture(params=["bm25", "causal"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize(
    "name", ["bm25", "bm25?seed=2&layers=6&heads=4&decoys=5", "causal?layers=6"]
)
def test_it_is_built_in_under_a_second(name):
    times = []
    for _ in range(3):
        start = time.perf_counter()
        plant(name)
        times.append(time.perf_counter() - start)
    assert min(times) < 1


def test_the_seed_decides_and_nothing_else_is_touched(kind):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    one, same, other = (plant(f"{kind}?seed={seed}") for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    weights, equal = one.model.state_dict(), same.model.state_dict()
    assert all(torch.equal(weights[key], equal[key]) for key in weights)
    assert one.placement == same.placement != other.placement


def test_it_loads_by_name_as_a_value_and_from_disk(kind, tmp_path, passages):
    planted, name = plant(f"{kind}?seed=1"), f"planted:{kind}?seed=1"
    expected = load(planted).score("a large snake", passages)
    assert load(planted).cfg.checkpoint == planted.circuit.checkpoint == name
    assert torch.equal(load(name).score("a large snake", passages), expected)
    save(tmp_path, planted.model, planted.tokenizer)
    AutoModelForSequenceClassification.from_pretrained(tmp_path)
    has_segments = "token_type_ids" in AutoTokenizer.from_pretrained(tmp_path)("a", "b")
    assert has_segments == (kind == "bm25")
    assert torch.equal(load(tmp_path).score("a large snake", passages), expected)


def test_scores_do_not_depend_on_the_batch(kind, passages):
    model = load(f"planted:{kind}")
    together = model(model.pair("the heart and the brain", *passages))
    alone = torch.cat([model(model.pair("the heart and the brain", each)) for each in passages])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("bm25?seed=2&talkers=2&busy", "the heart of a snake"),
        ("causal?seed=2&talkers=2&busy", "people of the river people"),
    ],
)
def test_bystanders_and_talkers_are_busy_and_nobody_reads_them(name, query, passages):
    planted = plant(name)
    model = load(planted)
    pairs = model.pair(query, *passages)
    strangers = [unit for unit in model.heads() if unit not in planted.circuit]
    mute = {head(*place) for place in planted.placement.decoy_heads}
    with model.record("result") as cache:
        plain = model(pairs)
    for unit in strangers:
        (_, i), layer = unit.coordinates[0], unit.site.layer
        assert (cache[head(layer, i, "result")].abs().max() > 0.1) == (unit not in mute)
    scores = sweep(model, pairs, [[ablate(unit) for unit in strangers]])[0]
    torch.testing.assert_close(scores, plain, rtol=1e-4, atol=1e-4)
