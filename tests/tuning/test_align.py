"""Alignment sets one coordinate of known tokens to their IDF, and nothing else."""

import pytest
import torch

from crosslens import CrossEncoder
from crosslens.idf import directions_of, TokenIdf
from crosslens.tuning import aligned, is_embedding


DOCUMENTS = ["cats purr", "cats rest", "the dog", "cats purr the", "a car and the town of france"]


@pytest.fixture
def idf(model: CrossEncoder) -> TokenIdf:
    return TokenIdf.of_documents(model.tokens.tokenizer, DOCUMENTS)


@pytest.mark.parametrize("k", [0, 3])
def test_the_coordinate_becomes_idf_and_all_else_stays(model, idf, k) -> None:
    W_E = model.W_E.detach().double()[: len(idf)]
    before = directions_of(W_E)
    found = aligned(W_E, idf, k=k)
    coordinate = found @ before.V / before.S  # in the directions of before
    known = idf.is_known
    both = torch.stack((coordinate[known, k], idf.values[known]))
    was = torch.stack((before.U[known, k], idf.values[known]))
    r, old = torch.corrcoef(both)[0, 1], torch.corrcoef(was)[0, 1]
    assert abs(r) == pytest.approx(1) and r * old > 0  # the sign that it had
    for moment in (torch.mean, torch.std):
        assert moment(coordinate[known, k]) == pytest.approx(moment(before.U[known, k]).item())
    torch.testing.assert_close(found[~known], W_E[~known], rtol=0, atol=0)
    coordinate[:, k] = before.U[:, k]
    torch.testing.assert_close(coordinate, before.U)


def test_the_matrix_itself_stays(model, idf) -> None:
    W_E = model.W_E.detach().double()
    before = W_E.clone()
    assert (aligned(W_E, idf) - W_E).abs().max() > 1e-3
    assert torch.equal(W_E, before)


def test_embeddings_are_told_from_the_rest_by_name(any_model) -> None:
    names = [name for name, _ in any_model.named_parameters()]
    chosen = [name for name in names if is_embedding(name)]
    assert any("words" in name for name in chosen)
    assert not any("blocks" in name or "head" in name for name in chosen)


def test_an_idf_of_nothing_is_refused(model, idf) -> None:
    with pytest.raises(ValueError, match="nothing to align with"):
        aligned(model.W_E, idf.first(0))
