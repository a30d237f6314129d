"""The row that is scored has a name: what reads it follows `Pairs.scored`, wherever it stands."""

from dataclasses import replace

import pytest
import torch

from crosslens import ablate, head, Hook, patch, path_patching, Site, sweep
from crosslens.attribution.attention.attention_shares import attention_follows
from crosslens.attribution.words.rollout import attention_rollout
from crosslens.contrasts.contrast import Contrast
from crosslens.pairs import scored_row


CLOSE = {"rtol": 0, "atol": 1e-6}
TEXTS = ("why do cats purr", "cats purr", "the engine of a car , and the cats")


@pytest.fixture
def moved(any_model):
    """A model, and pairs whose score is read at their other end."""
    pairs = any_model.pair(*TEXTS)
    elsewhere = torch.where(pairs.scored > 0, 0, pairs.lengths - 1)
    return any_model.requires_grad_(False), replace(pairs, scored=elsewhere)


def test_the_scored_row_is_the_first_token_or_a_decoders_last(any_model):
    pairs = any_model.pair(*TEXTS)
    is_decoder = any_model.cfg.family == "qwen3"
    assert pairs.scored.tolist() == ((pairs.lengths - 1).tolist() if is_decoder else [0, 0])
    assert torch.equal(pairs.is_scored, pairs.where("sep2" if is_decoder else "cls"))


def test_scored_rows_follow_their_pairs(pairs):
    moved = replace(pairs, scored=pairs.lengths - 1)
    assert moved.take([1, 0]).scored.tolist() == [n - 1 for n in moved.lengths.tolist()[::-1][:2]]
    assert moved.repeat(2).scored.tolist() == moved.scored.tolist() * 2


def test_one_position_is_the_scored_row_already():
    x = torch.randn(2, 5, 3)
    row = scored_row(x, torch.tensor([4, 1]))
    assert torch.equal(row[:, 0], torch.stack([x[0, 4], x[1, 1]]))
    assert torch.equal(scored_row(row, torch.tensor([4, 1])), row)


def test_the_score_is_read_there(moved):
    model, pairs = moved
    with model.record(*model.sites()) as cache:
        whole = model(pairs)
    last = cache[model.block_outputs()[-1]]
    if model.final_norm is not None:
        last = model.final_norm(last)
    if model.reads_scored_row:
        read = last[torch.arange(len(pairs)), pairs.scored]
        expected = model.relevance(model.head.out(model.head.hidden(read)))
        torch.testing.assert_close(whole, expected, **CLOSE)
        assert (whole - model(model.pair(*TEXTS))).abs().max() > 1e-4
    torch.testing.assert_close(model(pairs), whole, **CLOSE)  # the other rows are dropped
    with model.scored_row_only(), model.record("pattern", "mlp_post") as cache:
        torch.testing.assert_close(model(pairs), whole, **CLOSE)


@pytest.mark.parametrize("site", ["attn_scores", "pattern", "z", "attn_out", "mlp_out"])
def test_a_sweep_equals_one_pass_per_cell_there(moved, site):
    model, pairs = moved
    other = model.pair(*TEXTS[:1], *TEXTS[:0:-1])
    units = [s.at() for s in model.sites(site)]
    cells = [Hook(unit, lambda x: x * 0.5) for unit in units]
    found = sweep(model, pairs, cells)
    assert len(other) == len(pairs)
    for row, cell in zip(found, cells, strict=True):
        with model.hooked(cell):
            torch.testing.assert_close(row, model(pairs), **CLOSE)


def test_a_path_to_the_score_is_what_the_sender_writes_there(model):
    """In the last block nothing stands between a head and the score but its own row."""
    pairs = model.requires_grad_(False).pair("why do cats purr", "cats purr", "purr cats")
    pairs = replace(pairs, scored=pairs.lengths - 1)
    base, more = pairs.take([1]), pairs.take([0])
    contrast = Contrast.between(base, more)
    last = model.cfg.n_layers - 1
    with model.record("z") as cache:
        model(more)
    found = path_patching(model, contrast, [head(last, 1)])
    with model.hooked(patch(head(last, 1), cache)):
        change = model(base) - 0
    expected = (change - found.base) / (found.target - found.base)
    torch.testing.assert_close(found.recovered[0], expected, rtol=1e-3, atol=1e-4)
    with model.hooked(ablate(head(last, 1))):
        assert (model(base) - found.base).abs().max() > 0


def test_attention_of_the_scored_row(model):
    pairs = model.requires_grad_(False).pair(*TEXTS)
    moved = replace(pairs, scored=pairs.lengths - 1)
    value = torch.randn(pairs.token.shape, generator=torch.Generator().manual_seed(0))
    with model.record("pattern") as cache:
        model(pairs)
    found = attention_follows(model, moved, value)
    there = pairs.where("query")[1]
    row = cache[Site("pattern", 0)][1, 2, moved.scored[1]]
    expected = torch.corrcoef(torch.stack([row[there], value[1][there]]))[0, 1]
    torch.testing.assert_close(found[2, 1], expected, rtol=1e-4, atol=1e-5)
    rolled, first = attention_rollout(model, moved), attention_rollout(model, pairs)
    torch.testing.assert_close(rolled.token.sum(dim=1), torch.ones(2), rtol=0, atol=1e-5)
    assert not torch.allclose(rolled.token, first.token)
