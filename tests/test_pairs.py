"""Pairs: nothing about a token gets lost on the way."""

from dataclasses import replace

import pytest
import torch

from crosslens import NotMeasurable, Segment
from crosslens.pairs import sent


def test_segments_are_chosen_by_name_and_joined(pairs):
    query, document = pairs.where("query"), pairs.where("document")
    assert query.sum(dim=1).tolist() == [4, 4]
    assert torch.equal(pairs.where("query", "document"), query | document)
    assert torch.equal(pairs.where("query|document"), query | document)
    assert torch.equal(pairs.where(Segment.QUERY), query)
    assert not pairs.where().any()


def test_the_scored_row_has_a_name(pairs):
    assert torch.equal(pairs.where("scored"), pairs.where("cls"))
    moved = replace(pairs, scored=pairs.lengths - 1)
    assert torch.equal(moved.where("scored"), moved.is_scored)
    assert torch.equal(moved.where("scored|query"), moved.is_scored | moved.where("query"))
    with pytest.raises(NotMeasurable, match="there is no scored row"):
        replace(pairs, scored=torch.full_like(pairs.scored, -1)).where("scored")


def test_every_token_has_exactly_one_segment(pairs):
    counts = sum(pairs.where(segment).long() for segment in Segment)
    assert (counts == 1).all()


def test_sentence_ids_and_lengths_follow_from_the_segments(pairs):
    second = pairs.where("document", "sep2")
    assert torch.equal(pairs.token_type.bool(), second)
    assert torch.equal(pairs.lengths, pairs.attended.sum(dim=1))
    assert pairs.lengths[0] < pairs.lengths[1] == pairs.token.shape[1]


def test_a_mask_broadcasts_over_the_axes_it_names(pairs):
    n, width = pairs.token.shape
    mask = pairs.mask(("pair", "head", "dst", "src"), {"dst": "cls", "src": "query"})
    assert mask.shape == (n, 1, width, width)
    assert mask.sum().item() == n * 4
    assert mask[:, 0, 0].equal(pairs.where("query"))


def test_taking_pairs_drops_padding_and_keeps_order(model, pairs):
    short = pairs.take([0])
    assert short.token.shape[1] == pairs.lengths[0]
    assert short.document == pairs.document[:1]
    both = pairs.take([1, 0])
    assert both.document == pairs.document[::-1]
    assert torch.equal(both.take([1]).token, short.token)
    assert torch.equal(pairs.take(slice(0, 1)).token, short.token)
    torch.testing.assert_close(model(both), model(pairs).flip(0))


def test_repeating_pairs_is_taking_them_again_and_again(pairs):
    thrice = pairs.repeat(3)
    again = pairs.take([0, 1] * 3)
    assert len(thrice) == 6
    for name in ("token", "segment", "word", "span", "cut"):
        assert torch.equal(getattr(thrice, name), getattr(again, name)), name
    assert thrice.query == again.query and thrice.document == again.document


def test_roles_travel_with_their_tokens(pairs):
    role = pairs.where("query").long()
    named = pairs.with_roles(role, ["other", "Q+"])
    assert torch.equal(named.where("Q+"), pairs.where("query"))
    assert torch.equal(named.take([0]).where("Q+"), pairs.take([0]).where("query"))
    assert torch.equal(named.repeat(2).where("Q+"), pairs.repeat(2).where("query"))
    assert pairs.role is None
    with pytest.raises(LookupError, match=r"no token is called 'Q-'; did you mean Q\+"):
        named.where("Q-")
    with pytest.raises(ValueError, match="every token needs one role"):
        pairs.with_roles(role[:, 1:], ["other", "Q+"])
    with pytest.raises(ValueError, match="the name of a role has no"):
        pairs.with_roles(role, ["other", "a|b"])


def test_an_unknown_name_is_an_error_with_near_matches(pairs):
    with pytest.raises(LookupError, match="'documents'; did you mean document"):
        pairs.where("documents")


def test_pairs_move_as_one(pairs):
    moved = pairs.to("meta")
    assert {x.device.type for _, x in moved._tensors()} == {"meta"}
    assert moved.device.type == "meta" and pairs.device.type == "cpu"


def test_pairs_say_how_many_they_are(pairs):
    assert repr(pairs) == f"Pairs(2 pairs, up to {pairs.token.shape[1]} tokens)"


def test_groups_of_like_length_hold_every_pair_once_and_little_padding(model):
    documents = [" ".join(["cats"] * n) for n in (3, 40, 4, 20, 41, 3, 22, 60)]
    pairs = model.pair("why do cats purr", *documents)
    for at_once in (None, 2, 1):
        groups = pairs.like_lengths(at_once)
        assert sorted(row for _, rows in groups for row in rows) == list(range(len(documents)))
        for width, rows in groups:
            lengths = pairs.lengths[rows]
            assert width == lengths.max() <= 1.15 * lengths.min()
            assert at_once is None or len(rows) <= at_once
    assert len(pairs.like_lengths()) < len(documents)


def test_tokens_that_are_left_keep_their_own_and_move_up(pairs) -> None:
    document = pairs.where("document")
    gone = document & (document.cumsum(dim=1) == 2)
    left = pairs.only(~gone)
    assert (left.lengths == pairs.lengths - 1).all()
    for i, length in enumerate(left.lengths.tolist()):
        kept = (pairs.attended & ~gone)[i].nonzero().flatten()
        for name in ("token", "segment", "token_type", "word", "span"):
            ours, theirs = getattr(left, name)[i, :length], getattr(pairs, name)[i, kept]
            assert torch.equal(ours, theirs), name
    assert torch.equal(left.scored, pairs.scored)
    with pytest.raises(ValueError, match="the scored row would go"):
        pairs.only(document)


def test_the_scored_row_moves_with_its_token(pairs) -> None:
    moved = replace(pairs, scored=pairs.scored + 3)
    first = torch.zeros_like(pairs.attended)
    first[:, 1] = True
    assert torch.equal(moved.only(~first).scored, pairs.scored + 2)


def test_pairs_go_to_a_gpu_from_pinned_memory(monkeypatch, pairs, unchecked):
    sent_to = []

    class Pinned:
        def to(self, device: str, *, non_blocking: bool) -> str:
            sent_to.append((device, non_blocking))
            return "on the GPU"

    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: Pinned())
    assert sent(pairs.token, "cuda:1") == "on the GPU"
    assert sent_to == [("cuda:1", True)]
    assert sent(pairs.token, "cpu") is pairs.token and len(sent_to) == 1
