"""What every word attribution of the catalogue owes its users."""

import pytest
import torch
from tiny import tiny

from crosslens import CrossEncoder, load, Pairs, plant
from crosslens.stats import auroc
from crosslens.words import (
    attention_rollout,
    lime,
    method,
    METHODS,
    passed_information,
    WordAttribution,
)


@pytest.mark.parametrize("name", METHODS)
def test_padding_has_no_value_and_the_batch_does_not_matter(
    name: str, model: CrossEncoder, pairs: Pairs
) -> None:
    found = method(name)(model, pairs)
    assert found.token[~pairs.attended].eq(0).all()
    assert found.token.isfinite().all()
    if name != "bottleneck":  # its noise is that of the pairs it is given
        alone = method(name)(model, pairs.take([0])).token
        assert torch.allclose(found.token[:1, : alone.shape[1]], alone, atol=1e-5)


def test_a_name_finds_its_method_and_options_are_its_own(model: CrossEncoder, pairs: Pairs) -> None:
    assert method("LIME") is lime and method("bottleneck") is passed_information
    drawn = [lime(model, pairs, samples=30, seed=seed).token for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    with pytest.raises(ValueError, match="numbers for tokens of shape"):
        WordAttribution("short", pairs, torch.zeros(1, 3))


def test_lime_seeds_no_gpu_and_leaves_the_processors_draws_as_they_were(
    model: CrossEncoder, pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    before = torch.get_rng_state()
    lime(model, pairs.take([0]), samples=5, seed=7)
    assert not seeded and torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(0)
    assert seeded == [0], "the control: torch's own seed is one for all devices"


def test_an_unknown_method_is_answered_with_near_names() -> None:
    with pytest.raises(LookupError, match="did you mean leave-one-out"):
        method("leave-on-out")


def test_words_add_up_their_tokens_or_share_their_number(model: CrossEncoder) -> None:
    pairs = model.pair("cats", "xyz purr")  # three pieces, one piece
    summed = method("gradient x input")(model, pairs)
    shared = method("leave-one-out")(model, pairs)
    places = (pairs.where("document")[0] & (pairs.word[0] == 0)).nonzero().flatten()
    assert len(places) == 3
    for found, value in (
        (summed, summed.token[0, places].sum()),
        (shared, shared.token[0, places[0]]),
    ):
        words = found.words().set_index("text")["value"]
        assert words["xyz"] == pytest.approx(float(value), abs=1e-6)
        assert list(found.words()["text"]) == ["[CLS]", "cats", "[SEP1]", "xyz", "purr", "[SEP2]"]


def test_rollout_shares_add_up_to_one(any_model: CrossEncoder) -> None:
    pairs = any_model.pair("why do cats purr", "cats purr when they rest", "the engine of a car")
    total = attention_rollout(any_model, pairs).token.sum(dim=1)
    assert torch.allclose(total, torch.ones_like(total), atol=1e-5)


@pytest.mark.parametrize("family", ["modernbert", "modernbert-mean"])
def test_rollout_follows_the_rows_that_the_score_reads(family: str) -> None:
    """The first row where that is scored, the mean over all tokens where their mean is."""
    model = load(*tiny(family))
    pairs = model.pair("why do cats purr", "cats purr when they rest", "the engine of a car")
    with model.record("pattern") as cache:
        model(pairs)
    rolled = own = torch.eye(pairs.token.shape[1])
    for pattern in cache.layers("pattern"):
        rolled = (pattern.mean(dim=1) + own) / 2 @ rolled
    mean = torch.stack(
        [row[there].mean(dim=0) for row, there in zip(rolled, pairs.attended, strict=True)]
    )
    expected, other = (mean, rolled[:, 0]) if family.endswith("mean") else (rolled[:, 0], mean)
    found = attention_rollout(model, pairs).token
    torch.testing.assert_close(found, expected)
    assert (found - other).abs().max() > 0.01


@pytest.mark.parametrize("seed", [1, 5])
def test_matched_tokens_pass_most_of_all_before_the_planted_head_reads_them(seed: int) -> None:
    """Another query's matches are the control; the head writes to the query what it read.

    Noise of a whole data set matches by chance what the planted head compares, so that no word
    has to pass; the reference code's noise is the block's own input, which does not.
    """
    planted = plant(f"planted:bm25?seed={seed}")
    model = load(planted)
    layer = planted.placement.matchers[0][0] - 1
    documents = ["a canoe needs a paddle and a road", "the paddle of the bus is in a canoe"]

    def passed(query: str) -> WordAttribution:
        pairs = model.pair(query, *documents)
        return passed_information(model, pairs, layer=layer, noise="reference code", beta=1e-5)

    found, control = passed("canoe paddle"), passed("road bus")
    among = found.pairs.where("document")
    terms = torch.isin(found.pairs.token, found.pairs.token[0][found.pairs.where("query")[0]])
    matched = terms[among].numpy()
    assert auroc(found.token[among].double().numpy(), matched) >= 0.95
    among = control.pairs.where("document")
    assert auroc(control.token[among].double().numpy(), matched) < 0.7


@pytest.mark.parametrize("name", ["leave-one-out", "hide-one-out", "integrated gradients", "LIME"])
def test_planted_terms_come_first_and_random_numbers_find_nothing(name: str) -> None:
    model = load(plant("bm25"))
    pairs = model.pair(
        "canoe paddle", "a canoe needs a paddle and a road", "the paddle of the bus is in a canoe"
    )
    matched = torch.isin(pairs.token, pairs.token[0][pairs.where("query")[0]])
    matched &= pairs.where("document")
    among = pairs.where("document")
    value = method(name)(model, pairs).token.abs()
    control = method("random")(model, pairs).token
    assert auroc(value[among].numpy(), matched[among].numpy()) == 1.0
    assert auroc(control[among].numpy(), matched[among].numpy()) < 0.95
