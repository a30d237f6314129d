"""Direct attribution against path patching by a small step, in every family."""

import torch

from crosslens import Cache, direct_attribution, direct_path


def test_it_is_the_slope_along_the_stream_times_what_the_head_says(any_model):
    any_model.double()
    pairs = any_model.pair("why do cats purr", "cats purr when they rest", "the engine of a car")
    found = direct_attribution(any_model, pairs)
    with torch.no_grad(), any_model.record("z") as base:
        plain = any_model(pairs)
    step = 1e-6
    for unit, own in zip(any_model.heads(), found.sum(dim=2), strict=True):
        more = Cache({unit.site: base[unit.site] * (1 + step)})
        with torch.no_grad(), any_model.hooked(*direct_path(any_model, base, more, [unit])):
            slope = (any_model(pairs) - plain) / step
        torch.testing.assert_close(own, slope, rtol=1e-3, atol=1e-5)
