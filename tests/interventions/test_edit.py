"""Edits of embeddings: what an edited matrix would do, and the matrix stays as it was."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor

from crosslens import CrossEncoder, Pairs
from crosslens.interventions.edit import (
    edit_coordinate,
    edit_rows,
    move_rows,
    scale_coordinate,
    scale_rows,
    singular_vectors,
)


def ids(model: CrossEncoder, *words: str) -> list[int]:
    return model.tokens.tokenizer.convert_tokens_to_ids(list(words))


def edited_in_place(model: CrossEncoder, pairs: Pairs, W_E: Tensor) -> Tensor:
    """The scores of a copy of the model whose embedding matrix is `W_E`."""
    copied = deepcopy(model)
    with torch.no_grad():
        copied.embedding.words.weight.copy_(W_E)
        return copied(pairs)


def test_an_edit_scores_as_the_edited_matrix_does(any_model, any_sides, under) -> None:
    base, _ = any_sides
    # in no order, and one that does not occur: neither may matter
    token = ids(any_model, "purr", "snake", "cats", "engine")
    W_E = any_model.W_E.detach().clone()
    before = W_E.clone()
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(4, W_E.shape[1], generator=generator, dtype=W_E.dtype)
    directions = singular_vectors(W_E)
    torch.testing.assert_close((directions.U * directions.S) @ directions.V.mT, W_E)

    def rebuilt(coordinate: Tensor, k: int) -> Tensor:
        U = directions.U.clone()
        U[token, k] = coordinate
        return (U * directions.S) @ directions.V.mT

    def with_rows(rows: Tensor) -> Tensor:
        changed = W_E.clone()
        changed[token] = rows
        return changed

    chosen = rows[:, 0]
    size = directions.U[token, 1].abs()
    for hook, expected in (
        (edit_rows(token, rows), with_rows(rows)),
        (move_rows(token, rows), with_rows(W_E[token] + rows)),
        (move_rows(token, rows[0]), with_rows(W_E[token] + rows[0])),
        (scale_rows(token, -3.0), with_rows(-3 * W_E[token])),
        (edit_coordinate(directions, token, chosen), rebuilt(chosen, 0)),
        (scale_coordinate(directions, token, -5.0, k=1), rebuilt(-5 * size, 1)),
        (scale_coordinate(directions, torch.tensor(token), 5.0, k=1), rebuilt(5 * size, 1)),
    ):
        found = under(any_model, base, hook)
        torch.testing.assert_close(found, edited_in_place(any_model, base, expected))
        assert ((found - under(any_model, base)).abs() > 1e-9).all()
    assert (before == any_model.W_E).all()


def test_an_edit_to_what_is_there_already_changes_nothing(any_model, any_sides, under) -> None:
    base, _ = any_sides
    token = ids(any_model, "purr", "cats")
    W_E = any_model.W_E.detach()
    directions = singular_vectors(W_E)
    for hook in (
        edit_rows(token, W_E[token]),
        scale_rows(token, 1.0),
        move_rows(token, torch.zeros_like(W_E[0])),
        edit_coordinate(directions, token, directions.U[token, 2], k=2),
        scale_rows(ids(any_model, "snake"), 9.0),  # which does not occur
    ):
        torch.testing.assert_close(under(any_model, base, hook), under(any_model, base))


def test_a_named_edit_stays_in_the_query(any_model, any_sides, record) -> None:
    base, _ = any_sides
    (token,) = ids(any_model, "purr")  # stands in the query and in the document
    before = record(any_model, base, "embed")
    changed = {}
    for pos in (None, "query", "document", ("query", "document")):
        with any_model.hooked(scale_rows([token], 2.0, pos=pos)):
            after = record(any_model, base, "embed")
        (one,), (two,) = before.values(), after.values()
        changed[pos] = (one != two).any(dim=-1)
    here = base.token == token
    assert (changed["query"] == here & base.where("query")).all() and changed["query"].any()
    assert (changed["document"] == here & base.where("document")).all()
    assert (changed[None] == here).all() and changed["document"].any()
    assert (changed[None] == changed["query", "document"]).all()


def test_an_edit_follows_the_tokens_of_the_pairs_that_run(model, two_sides, under) -> None:
    base, more = two_sides
    hook = scale_rows(ids(model, "purr", "bark"), 3.0)
    apart = [under(model, pairs, hook) for pairs in (base, more)]
    texts = [[*base.query, *more.query], [*base.document, *more.document]]
    torch.testing.assert_close(under(model, model.pairs(*texts), hook), torch.cat(apart))
    torch.testing.assert_close(under(model, base.repeat(3), hook), apart[0].repeat(3))
    torch.testing.assert_close(under(model, base.take([0]), hook), apart[0][:1])  # narrower


def test_the_directions_of_16_bit_embeddings_are_those_of_the_same_in_float32(model):
    W_E = model.W_E.bfloat16()
    torch.testing.assert_close(singular_vectors(W_E), singular_vectors(W_E.float()))


def test_gradients_reach_the_new_rows(any_model, any_sides) -> None:
    base, _ = any_sides
    token = ids(any_model, "snake", "purr")
    rows = any_model.W_E.detach()[token].requires_grad_()
    with any_model.hooked(edit_rows(token, rows)):
        any_model(base).sum().backward()
    assert rows.grad[1].abs().sum() > 0 and (rows.grad[0] == 0).all()  # no snake stands there


def test_bad_edits_are_refused(model, two_sides) -> None:
    base, _ = two_sides
    directions = singular_vectors(model.W_E)
    rows = torch.zeros(2, model.cfg.d_model)
    with pytest.raises(ValueError, match=r"tokens \[7\] are listed more than once"):
        edit_rows([7, 7], rows)
    with pytest.raises(ValueError, match="3 tokens, but 2 rows"):
        edit_rows([5, 6, 7], rows)
    with pytest.raises(ValueError, match="1 tokens, but 2 shifts"):
        move_rows([5], rows)
    with pytest.raises(ValueError, match="2 tokens, but 1 values"):
        edit_coordinate(directions, [5, 6], torch.zeros(1))
    with pytest.raises(ValueError, match="at least one id"):
        scale_rows([], 2.0)
    with pytest.raises(ValueError, match="singular directions 0 to 23"):
        scale_coordinate(directions, [5], 2.0, k=24)
    with pytest.raises(ValueError, match=r"ids 0 to \d+; found \[5, 999\]"):
        scale_coordinate(directions, [5, 999], 2.0)
    with (
        model.hooked(edit_rows(ids(model, "cats", "purr"), rows[:, :5])),
        pytest.raises(ValueError, match="24 wide, those given 5"),
    ):
        model(base)
