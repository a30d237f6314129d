"""Two sides of one contrast: the same places, other words."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from crosslens import Cache, CrossEncoder, Hook, Pairs


ContrastRuns = tuple[Pairs, Pairs]


def sides(model: CrossEncoder) -> ContrastRuns:
    """Pairs of unequal length, and pairs that differ from them in words alone."""
    base = model.pair(
        "why do cats purr",
        "cats purr when they rest",
        "the engine of a car , and the cats of the town , purr",
    )
    more = model.pair(
        "how do dog bark",
        "dog bark when they sleep",
        "the river of a town , and the python of the city , rest",
    )
    assert base.token.shape == more.token.shape and (base.segment == more.segment).all()
    return base, more


@pytest.fixture
def any_sides(any_model: CrossEncoder) -> ContrastRuns:
    any_model.double()
    return sides(any_model)


@pytest.fixture
def two_sides(model: CrossEncoder) -> ContrastRuns:
    model.double()
    return sides(model)


@pytest.fixture
def under() -> Callable[..., Tensor]:
    """The scores under some hooks."""

    def scores(model: CrossEncoder, pairs: Pairs, *hooks: Hook) -> Tensor:
        with torch.no_grad(), model.hooked(*hooks):
            return model(pairs)

    return scores


@pytest.fixture
def record() -> Callable[..., Cache]:
    """What some sites hold."""

    def cache(model: CrossEncoder, pairs: Pairs, *names: str) -> Cache:
        with torch.no_grad(), model.record(*names) as kept:
            model(pairs)
        return kept

    return cache
