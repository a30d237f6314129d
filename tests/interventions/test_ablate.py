"""Ablation, and what it puts in the place of a unit; padding never enters."""

import pytest
import torch

from crosslens import Cache, head, Site, Unit
from crosslens.interventions.ablate import ablate, mean_of, position_mean_of, resample


NOISE = 1e6  # planted at padding: any trace of it would show


def poisoned(cache: Cache, pairs) -> Cache:
    """The cache, with absurd values wherever there is padding."""
    absurd = {}
    for site, value in cache.items():
        absurd[site] = value.clone()
        if "pos" in site.axes:
            absurd[site][~pairs.attended] = NOISE
    return Cache(absurd)


def held(model, pairs, hook) -> torch.Tensor:
    with torch.no_grad(), model.hooked(hook), model.record(hook.unit.site) as after:
        model(pairs)
    return after[hook.unit]


def test_zero_silences_a_head_as_zero_attention_does(any_model, any_sides, under) -> None:
    base, _ = any_sides
    silent = under(any_model, base, ablate(head(1, 2)))
    blind = under(any_model, base, ablate(head(1, 2, "pattern")))
    torch.testing.assert_close(silent, blind)
    assert ((silent - under(any_model, base)).abs() > 1e-9).all()


def test_a_head_less_its_weights_is_a_head_ablated(any_model, any_sides, under) -> None:
    base, _ = any_sides
    ablated = under(any_model, base, ablate(head(1, 2)))
    d = any_model.cfg.d_head
    with torch.no_grad():
        any_model.blocks[1].attn.out.weight[:, 2 * d : 3 * d] = 0
    torch.testing.assert_close(under(any_model, base), ablated)


def test_the_mean_is_over_tokens_of_all_references_and_not_over_padding(
    any_model, any_sides, record
) -> None:
    base, more = any_sides
    short = more.take([0])
    references = [
        (poisoned(record(any_model, pairs, "z", "pooled"), pairs), pairs) for pairs in (base, short)
    ]
    for unit, names in (
        (head(1, 2), None),
        (Unit(Site("z", 0)), None),
        (head(1, 2).site.at(head=2, pos=("query", "sep1")), ("query", "sep1")),
    ):
        kept = [p.attended if names is None else p.where(*names) for _, p in references]
        rows = torch.cat([c[unit][k] for (c, _), k in zip(references, kept, strict=True)])
        torch.testing.assert_close(mean_of(unit, *references), rows.mean(dim=0))
    pooled = torch.cat([cache[Site("pooled")] for cache, _ in references])
    torch.testing.assert_close(mean_of(Unit(Site("pooled")), *references), pooled.mean(dim=0))
    second = Site("z", 1).at(pos=15)  # padding in the short pairs
    only = references[0][0][second][base.lengths > 15]
    assert len(only) == 1
    torch.testing.assert_close(mean_of(second, *references), only[0])


def test_the_positional_mean_is_over_the_pairs_that_reach_a_position(
    any_model, any_sides, record
) -> None:
    base, more = any_sides
    short = more.take([0])
    references = [(poisoned(record(any_model, p, "z"), p), p) for p in (base, short)]
    unit, width = head(1, 2), base.token.shape[1]
    found = position_mean_of(unit, *references, width=width + 2)
    cache, small = references[0][0][unit], references[1][0][unit]
    end = int(base.lengths[0])
    torch.testing.assert_close(found[0], (cache[0, 0] + cache[1, 0] + small[0, 0]) / 3)
    torch.testing.assert_close(found[end], cache[1, end])
    torch.testing.assert_close(found[width:], mean_of(unit, *references).expand(2, -1))
    narrow = position_mean_of(unit, *references, width=4)
    torch.testing.assert_close(narrow, found[:4])
    torch.testing.assert_close(held(any_model, base, ablate(unit, found[:width]))[1], found[:width])


def test_the_mean_of_one_token_is_that_token(model, two_sides, record, under) -> None:
    base, _ = two_sides
    one = base.take([1])
    unit = Site("resid_pre", 2).at(pos="cls")
    mean = mean_of(unit, (record(model, one, "resid_pre"), one))
    torch.testing.assert_close(under(model, one, ablate(unit, mean)), under(model, one))


def test_a_mean_over_more_than_float16_can_count_is_that_of_float32(model, two_sides, record):
    base, _ = two_sides
    unit = head(1, 2)
    cache = record(model, base, "z")
    half = Cache({unit.site: cache[unit.site].half()})
    times = 66_000 // int(base.attended.sum()) + 1
    for average in (mean_of, position_mean_of):
        found = average(unit, *[(half, base)] * times)
        assert found.dtype == torch.float16
        torch.testing.assert_close(
            found.double(), average(unit, (cache, base)), rtol=1e-3, atol=1e-3
        )


def test_resampling_copies_tokens_of_one_other_pair(any_model, any_sides, record) -> None:
    base, more = any_sides
    reference = poisoned(record(any_model, more, "resid_pre"), more)
    for names in ((), ("query", "sep1"), ("document",)):
        unit = Site("resid_pre", 1).at(**({"pos": names} if names else {}))
        hook = resample(unit, reference, more, generator=torch.Generator().manual_seed(3))
        meant = base.where(*names) if names else base.attended
        after = held(any_model, base, hook)
        real = more.where(*names) if names else more.attended
        for i in range(len(base)):
            assert any(
                all((row == reference[unit][donor][real[donor]]).all(-1).any() for row in rows)
                for rows in [after[i][meant[i]]]
                for donor in range(len(more))
            )
        assert after[meant].abs().max() < NOISE / 2


def test_resampling_keeps_positions_that_the_donor_has(model, two_sides, record) -> None:
    base, more = two_sides
    donor = more.take([1])  # the longest: it has every position
    cache = record(model, donor, "z")
    hook = resample(head(1, 2), cache, donor, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(held(model, base, hook), cache[head(1, 2)].expand(2, -1, -1))


def test_a_resampling_is_frozen_and_its_generator_decides_it(model, two_sides, record) -> None:
    base, more = two_sides
    cache = record(model, more, "pooled")
    unit, generator = Unit(Site("pooled")), torch.Generator().manual_seed(1)
    many = model.pairs(base.query * 16, base.document * 16)
    hook = resample(unit, cache, more, generator=generator)
    again = resample(unit, cache, more, generator=torch.Generator().manual_seed(1))
    other = resample(unit, cache, more, generator=generator)
    first = held(model, many, hook)
    assert (first == held(model, many, hook)).all() and (first == held(model, many, again)).all()
    assert (first != held(model, many, other)).any()
    assert all((first == row).all(-1).any() for row in cache[unit])  # every pair is drawn


def test_a_pair_has_its_donor_in_whatever_batch_it_runs(any_model, any_sides, record) -> None:
    """Donors, and the places that are drawn where a donor has no token."""
    base, more = any_sides
    many = any_model.pairs(base.query * 4, base.document * 4)
    for unit, name in ((Site("resid_pre", 1).at(pos="document"), "resid_pre"), (head(2, 1), "z")):
        cache = record(any_model, more, name)
        hook = resample(unit, cache, more, generator=torch.Generator().manual_seed(2))
        whole = held(any_model, many, hook)
        for rows in ([5, 2], [7], [0, 3, 6]):
            some = many.take(rows)
            part = held(any_model, some, hook)
            there = some.where("document") if unit.named else some.attended
            assert (part[there] == whole[rows][:, : there.shape[1]][there]).all()


def test_gradients_reach_the_value(any_model, any_sides) -> None:
    base, _ = any_sides
    value = torch.zeros(any_model.cfg.d_head, dtype=torch.float64, requires_grad=True)
    with any_model.hooked(ablate(head(1, 2), value)):
        any_model(base).sum().backward()
    assert value.grad.abs().sum() > 0


def test_bad_values_and_references_are_refused(model, two_sides, record) -> None:
    base, more = two_sides
    cache = record(model, base, "z", "pattern", "resid_pre")
    with (
        model.hooked(ablate(head(1, 2), torch.zeros(2))),
        pytest.raises(ValueError, match=r"axes \(pair, pos, d_head\).*shape \(2,\) does not"),
    ):
        model(base)
    with (
        model.hooked(ablate(Unit(Site("pooled")), torch.zeros(1, 1, 24))),
        pytest.raises(ValueError, match="does not fit"),
    ):
        model(base)
    with pytest.raises(ValueError, match="none of 0 references"):
        mean_of(head(1, 2))
    with pytest.raises(ValueError, match="none of 1 references has a token of 1.z"):
        mean_of(Site("z", 1).at(pos="pad"), (cache, base))
    with pytest.raises(ValueError, match="nothing to average"):
        mean_of(Site("z", 1).at(pos=40), (cache, base))
    with pytest.raises(ValueError, match="nothing to draw from"):
        resample(Site("z", 1).at(pos="pad"), cache, base, generator=torch.Generator())
    with pytest.raises(ValueError, match="on which the cache was recorded"):
        mean_of(head(1, 2), (cache, more.take([0])))
    with pytest.raises(ValueError, match="ablate the head's z"):
        mean_of(head(1, 2, "pattern"), (cache, base))
