import pytest
import torch

from crosslens import ablate, Contrast, head, Pairs, patch, patching, Site, sweep
from crosslens.attention import attention_within_query
from crosslens.attribution.attention.match_curves import _length
from crosslens.batching import by_length, in_batches, recorded
from crosslens.batching.batches import batches_by_length
from crosslens.engine.sweep import sweep_in_batches
from crosslens.faithfulness import keep_nodes
from crosslens.interventions import scale_rows


@pytest.fixture
def contrast(model):
    """Two pairs of unequal length that differ in one word."""
    base = ["a car in the town and the bark of a dog by the river", "the engine of a car rest"]
    more = [text.replace("car", "python") for text in base]
    query = ["why do cats purr"] * 2
    return Contrast.between(model.pairs(query, base), model.pairs(query, more), "one word")


def test_every_pair_is_in_one_batch_and_lengths_rise(contrast):
    batches = batches_by_length(contrast.base, 1)
    assert sorted(row for batch in batches for row in batch) == list(range(len(contrast)))
    lengths = [int(contrast.base.lengths[batch[0]]) for batch in batches]
    assert lengths == sorted(lengths)
    assert sum(batches_by_length(contrast.base, 2), []) == sum(batches, [])


def test_pairs_of_one_length_keep_their_order(model):
    """So that batches are the same on every device."""
    many = model.pair("cats", *["cats purr", "dog bark in town"] * 40)
    order = [*range(0, 80, 2), *range(1, 80, 2)]
    assert sum(batches_by_length(many, 7), []) == order
    assert [row for rows, _ in by_length(list, many, 7) for row in rows] == order


def test_a_batch_of_no_pairs_is_refused_as_such(model, contrast):
    with pytest.raises(ValueError, match="at_once=0"):
        batches_by_length(contrast.base, 0)
    with pytest.raises(ValueError, match="at_once=0"):
        patching(model, contrast, model.heads(), at_once=0)
    with pytest.raises(ValueError, match="at_once=0"):
        keep_nodes(model, contrast, [model.heads()[:1]], at_once=0)


DOCUMENTS = ("cats purr", "the river", "a dog and a snake by the river", "france", "a car rest in")


@pytest.fixture
def five(model) -> Pairs:
    return model.double().pair("why do cats purr", *DOCUMENTS)


def test_what_is_recorded_in_batches_is_what_one_pass_holds(model, five):
    with torch.no_grad(), model.record("z", "pooled") as cache:
        scores = model(five)
    for at_once in (None, 1, 2, 3):
        found, again = recorded(model, five, ["z", "pooled"], at_once=at_once)
        torch.testing.assert_close(again, scores)
        assert found.keys() == cache.keys() and not again.requires_grad
        for site, value in cache.items():
            torch.testing.assert_close(found[site], value)


def test_words_take_the_place_of_the_embeddings_in_every_batch(model, five):
    words = torch.randn(*five.token.shape, model.cfg.d_model, dtype=torch.float64)
    with torch.no_grad(), model.tapped([(Site("embed"), lambda _: words)]):
        expected = model(five)
    for at_once in (None, 2):
        cache, scores = recorded(model, five, ["embed"], at_once=at_once, words=words)
        torch.testing.assert_close(scores, expected)
        assert torch.equal(cache[Site("embed")], words)


def test_what_is_put_together_stands_at_its_own_pair_and_position(model, five):
    batches = []

    def tokens(some: Pairs, rows: list[int]) -> torch.Tensor:
        batches.append(len(rows))
        assert torch.equal(five.take(rows, width=some.token.shape[1]).token, some.token)
        assert not torch.is_grad_enabled()
        return torch.stack([some.token, -some.token]) * some.attended

    found = in_batches(model, five, "sign pair pos", tokens)
    assert torch.equal(found[0], five.token * five.attended) and torch.equal(found[1], -found[0])
    assert len(batches) > 1 and sum(batches) == len(five)
    with model.hooked(ablate(head(0, 1))):  # which could have held a value for each pair
        batches.clear()
        assert torch.equal(in_batches(model, five, "sign pair pos", tokens), found)
    assert batches == [len(five)]


def test_a_hook_of_all_pairs_serves_methods_that_run_in_batches(model, five):
    with torch.no_grad(), model.record("z") as cache:
        model(five)
    plain = attention_within_query(model, five)
    with model.hooked(patch(head(0, 1), cache)):
        patched = attention_within_query(model, five)
        again = recorded(model, five, ["z"])[0]
    torch.testing.assert_close(patched, plain)
    torch.testing.assert_close(again[Site("z", 2)], cache[Site("z", 2)])


def test_cells_that_ask_for_no_pair_are_swept_in_batches(model, five, monkeypatch):
    cells = [ablate(head(0, 1)), [scale_rows([12], 3.0), ablate(head(1, 2))]]
    expected, done = sweep(model, five, cells), []
    found = sweep_in_batches(model, five, cells, progress=lambda *given: done.append(given))
    torch.testing.assert_close(found, expected)
    assert done[-1] == (2, 2) and done == sorted(done)
    with pytest.raises(ValueError, match="cell 0 has no hook"):
        sweep_in_batches(model, five, [[]])


def test_the_length_of_a_pair_has_no_special_tokens(contrast):
    pairs = contrast.base
    special = pairs.where("cls", "sep1", "sep2").sum(dim=1)
    assert _length(pairs).tolist() == (pairs.lengths - special).tolist()


def test_a_contrast_and_its_effects_print_as_one_line(model, contrast):
    effects = patching(model, contrast, model.heads())
    for value in (contrast, effects):
        assert len(repr(value)) < 120 and "\n" not in repr(value)
        assert contrast.signal in repr(value)
