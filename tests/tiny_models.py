"""Tiny random models of every family, and pairs of unequal length so that padding is in play."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache

import jaxtyping
import pytest
import torch
from tiny import AND_DECODER, exact_norms, tiny

from crosslens import CrossEncoder, load, Pairs


torch.set_num_threads(1)  # the models are tiny: threads only get in the way

QUERY = "why do cats purr"
DOCUMENTS = ("cats purr when they rest", "the engine of a car , and the cats of the town , purr")


def pytest_runtest_setup() -> None:
    torch.manual_seed(0)


@cache
def loaded(family: str) -> CrossEncoder:
    """A tiny random cross-encoder of a family, which no test may change: it is copied."""
    original, tokenizer = tiny(family)
    exact_norms(original)
    return load(original, tokenizer)


@pytest.fixture(params=AND_DECODER)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def any_model(family: str) -> CrossEncoder:
    """A tiny random cross-encoder of each family in turn."""
    return deepcopy(loaded(family))


@pytest.fixture
def model() -> CrossEncoder:
    return deepcopy(loaded("bert"))


@pytest.fixture
def double() -> Callable[[CrossEncoder], CrossEncoder]:
    """In float64, where a difference means a difference."""
    return lambda model: model.double()


@pytest.fixture
def pairs(model: CrossEncoder) -> Pairs:
    return model.pair(QUERY, *DOCUMENTS)


@pytest.fixture
def unchecked():
    """As users run it: annotations are not checked, as they are in this test run."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
