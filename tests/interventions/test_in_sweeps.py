"""Every hook, as a cell among the cells of a sweep, does what it does alone."""

import torch

from crosslens import (
    ablate,
    attention_mask,
    direct_path,
    head,
    mean_of,
    noise,
    patch,
    path,
    resample,
    Site,
    sweep,
    token_mask,
)
from crosslens.interventions import edit_rows, scale_rows


def test_a_hook_acts_in_a_batch_of_cells_as_it_does_alone(
    any_model, any_sides, under, record
) -> None:
    base, more = any_sides
    sites = ("full_embed", "z", "resid_pre")
    own, other = record(any_model, base, *sites), record(any_model, more, *sites)
    query = Site("resid_pre", 1).at(pos=("query", "sep1"))
    token = base.token[0, 2:4].tolist()
    cells = [
        [patch(query, other)],
        [patch(head(1, 2), other), ablate(head(2, 0))],
        [ablate(query, mean_of(query, (other, more)))],
        [resample(head(0, 1), other, more, generator=torch.Generator().manual_seed(0))],
        [token_mask(1, dst=("document", "sep2"), src=("query", "sep1"))],
        [attention_mask(1, dst=("document", "sep2"), src="query", head=1)],
        [attention_mask(0, blocked=base.where("query")[:, None] & base.is_scored[:, :, None])],
        [noise(query, 0.0, std=0.0, mean=0.5, generator=torch.Generator())],
        [edit_rows(token, any_model.W_E.detach()[:2])],
        [scale_rows(token, 3.0, pos="document")],
        direct_path(any_model, own, other, [head(0, 1)]),
        path(any_model, base, own, other, [head(0, 1)], [head(2, 1, "v")]),
    ]
    found = sweep(any_model, base, cells)
    plain = under(any_model, base)
    for cell, scores in zip(cells, found, strict=True):
        torch.testing.assert_close(scores, under(any_model, base, *cell))
        assert ((scores - plain).abs() > 1e-9).any(), cell[0].unit
