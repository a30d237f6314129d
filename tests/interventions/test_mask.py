"""Masks: who no longer reads whom, and where the attention goes instead."""

import pytest
import torch

from crosslens import head, Site
from crosslens.interventions.ablate import ablate
from crosslens.interventions.mask import attention_mask, token_mask


MASKS = (token_mask, attention_mask)
DOC_READS_QUERY = {"dst": ("document", "sep2"), "src": ("cls", "query", "sep1")}


def none_blocked(pairs) -> torch.Tensor:
    width = pairs.token.shape[1]
    return torch.zeros(len(pairs), width, width, dtype=torch.bool)


def attention(model, pairs, *hooks, layer: int = 1):
    """The pattern after the hooks, and the z that follows."""
    with torch.no_grad(), model.hooked(*hooks), model.record("pattern", "z") as cache:
        model(pairs)
    return cache[Site("pattern", layer)], cache[Site("z", layer)]


@pytest.mark.parametrize("mask", MASKS)
def test_an_empty_mask_changes_nothing(any_model, any_sides, under, mask) -> None:
    base, _ = any_sides
    empty = [mask(layer, blocked=none_blocked(base)) for layer in range(any_model.cfg.n_layers)]
    torch.testing.assert_close(under(any_model, base, *empty), under(any_model, base))


def test_the_token_mask_hands_the_mass_to_the_others(any_model, any_sides) -> None:
    base, _ = any_sides
    before, _ = attention(any_model, base)
    after, _ = attention(any_model, base, token_mask(1, dst="document", src="query"))
    cells = (base.where("document")[:, :, None] & base.where("query")[:, None])[:, None]
    expected = before.masked_fill(cells, 0)
    expected = expected / expected.sum(dim=-1, keepdim=True)
    torch.testing.assert_close(after, torch.where(cells.any(-1, keepdim=True), expected, before))
    assert (after.masked_select(cells) == 0).all() and (before.masked_select(cells) > 0).any()


def test_the_attention_mask_loses_the_mass(any_model, any_sides) -> None:
    base, _ = any_sides
    before, _ = attention(any_model, base)
    after, _ = attention(any_model, base, attention_mask(1, dst="document", src="query"))
    cells = (base.where("document")[:, :, None] & base.where("query")[:, None])[:, None]
    torch.testing.assert_close(after, before.masked_fill(cells, 0))
    rows = after.sum(dim=-1)[base.where("document")[:, None].expand(-1, after.shape[1], -1)]
    assert (rows < 1).any() and (rows <= 1 + 1e-9).all()


def test_the_attention_mask_is_linear_in_the_mask(any_model, any_sides) -> None:
    base, _ = any_sides
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(none_blocked(base).shape, generator=generator)
    one, two = drawn < 0.3, drawn > 0.6

    def z(blocked: torch.Tensor) -> torch.Tensor:
        return attention(any_model, base, attention_mask(1, blocked=blocked))[1]

    torch.testing.assert_close(z(one) + z(two), z(one | two) + z(none_blocked(base)))


def test_a_token_mask_on_a_column_is_the_attention_without_that_key(any_model, any_sides) -> None:
    """The plain reference leaves the key out of the softmax altogether."""
    base, _ = any_sides
    gone = 3
    blocked = none_blocked(base)
    blocked[:, :, gone] = True
    with torch.no_grad(), any_model.record("attn_scores", "v") as plain:
        any_model(base)
    pattern, z = attention(any_model, base, token_mask(1, blocked=blocked))
    scores, v = plain[Site("attn_scores", 1)], plain[Site("v", 1)]
    left = [i for i in range(v.shape[1]) if i != gone]
    fewer = scores[..., left].softmax(dim=-1)
    real = base.attended[:, None, :, None].expand_as(fewer)
    torch.testing.assert_close(pattern[..., left][real], fewer[real])
    v = v.repeat_interleave(z.shape[2] // v.shape[2], dim=2)  # heads may share values
    expected = torch.einsum("phij,pjhd->pihd", fewer, v[:, left])
    torch.testing.assert_close(z[base.attended], expected[base.attended])


def test_a_document_cut_off_does_not_know_the_query(any_model, any_sides) -> None:
    """Zhan et al. (2020), section 5, needs [CLS] and the first [SEP] to be hidden too, and it
    needs the token mask: under an attention mask, the softmax that a document token reads the
    rest with is still shared with the query, so that how much is lost tells of the query.
    """
    base, _ = any_sides
    other = any_model.pairs(["how do snake bark"] * 2, base.document)
    assert other.token.shape == base.token.shape and (other.token != base.token).any()
    document = base.where("document", "sep2")

    def gap(mask, cut: dict[str, tuple[str, ...]]) -> float:
        """The largest difference that the query makes to a document state at any layer."""
        hooks = [mask(layer, **cut) for layer in range(any_model.cfg.n_layers)]
        found = []
        for pairs in (base, other):
            with torch.no_grad(), any_model.hooked(*hooks), any_model.record("resid_post") as kept:
                any_model(pairs)
            found.append(kept.layers("resid_post")[:, document])
        return (found[0] - found[1]).abs().max().item()

    assert gap(token_mask, DOC_READS_QUERY) < 1e-9
    assert gap(attention_mask, DOC_READS_QUERY) > 1e-4
    leaks = (("query",), ("query", "sep1"), ("cls", "query"))
    for leak in leaks[::2] if any_model.is_causal else leaks:  # a decoder's [CLS] read nothing
        assert gap(token_mask, DOC_READS_QUERY | {"src": leak}) > 1e-6


@pytest.mark.parametrize("mask", MASKS)
def test_one_head_is_masked_alone_and_names_and_cells_agree(model, two_sides, under, mask) -> None:
    base, _ = two_sides
    before, _ = attention(model, base)
    after, _ = attention(model, base, mask(1, dst="cls", src="document", head=2))
    others = [0, 1, 3]
    torch.testing.assert_close(after[:, others], before[:, others])
    assert (after[:, 2, 0][base.where("document")] == 0).all()
    cells = base.where("cls")[:, :, None] & base.where("document")[:, None]
    same = under(model, base, mask(1, blocked=cells, head=2))
    torch.testing.assert_close(same, under(model, base, mask(1, dst="cls", src="document", head=2)))


def test_names_narrow_the_cells_given(model, two_sides, under) -> None:
    base, _ = two_sides
    columns = base.where("document")[:, None].expand_as(none_blocked(base))
    narrowed = under(model, base, attention_mask(1, dst="cls", blocked=columns))
    named = under(model, base, attention_mask(1, dst="cls", src="document"))
    torch.testing.assert_close(narrowed, named)


def test_masking_all_of_a_heads_attention_is_ablating_it(any_model, any_sides, under) -> None:
    base, _ = any_sides
    blind = under(any_model, base, attention_mask(1, head=2))
    torch.testing.assert_close(blind, under(any_model, base, ablate(head(1, 2))))


def test_masks_add_up_in_any_order(any_model, any_sides, under) -> None:
    base, _ = any_sides
    one, two = token_mask(1, dst="cls", src="query"), token_mask(1, dst="cls", src="sep2")
    together = under(any_model, base, token_mask(1, dst="cls", src=("query", "sep2")))
    torch.testing.assert_close(under(any_model, base, one, two), together)
    torch.testing.assert_close(under(any_model, base, two, one), together)


def test_gradients_flow_past_a_mask_but_not_through_it(any_model, any_sides) -> None:
    base, _ = any_sides
    query, dst = base.where("query"), "sep2" if any_model.is_causal else "cls"
    for mask, site in ((token_mask, "attn_scores"), (attention_mask, "pattern")):
        with any_model.record(site) as cache, any_model.hooked(mask(0, dst=dst, src="query")):
            score = any_model(base).sum()
        (into,) = torch.autograd.grad(score, cache[Site(site, 0)])
        row = torch.arange(len(base)), base.where(dst).long().argmax(dim=1)
        from_cls = into.transpose(1, 2)[row].transpose(1, 2)
        assert (from_cls[query] == 0).all() and from_cls[base.attended & ~query].abs().sum() > 0


def test_a_row_left_with_nothing_to_read_is_refused(any_model, any_sides) -> None:
    base, _ = any_sides
    if any_model.is_causal:  # whose first token reads itself alone
        with (
            any_model.hooked(token_mask(1, src="cls")),
            pytest.raises(ValueError, match=r"token 0 \('\[CLS\]'\) of pair 0, and 1 more"),
        ):
            any_model(base)
        return
    every = ("cls", "query", "sep1", "document", "sep2")
    with (
        any_model.hooked(token_mask(1, dst="query", src=every)),
        pytest.raises(ValueError, match=r"token 1 \('why'\) of pair 0.*attention_mask"),
    ):
        any_model(base)
    with (
        any_model.hooked(token_mask(1, src="query"), token_mask(1, head=0, dst="cls", src=every)),
        pytest.raises(ValueError, match=r"token 0 \('\[CLS\]'\) of pair 0, and 1 more"),
    ):
        any_model(base)
    rest = token_mask(1, head=0, dst="cls", src=every[:1] + every[2:])
    with (
        any_model.hooked(rest, token_mask(1, dst="cls", src="query")),  # head 0 had only that
        pytest.raises(ValueError, match=r"token 0 \('\[CLS\]'\) of pair 0"),
    ):
        any_model(base)


def test_cells_for_other_pairs_are_refused(model, two_sides) -> None:
    base, _ = two_sides
    for mask in MASKS:
        with (
            model.hooked(mask(1, blocked=none_blocked(base.take([0])))),
            pytest.raises(ValueError, match=r"\(2, 21, 21\).*`blocked` is \(1, 12, 12\)"),
        ):
            model(base)
