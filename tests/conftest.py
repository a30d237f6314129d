"""Tiny random models of every family, and pairs of unequal length so that padding is in play."""

from collections.abc import Callable

import checked  # noqa: F401 - before anything is imported that is to be checked
import jaxtyping
import pytest
import torch
from tiny import AND_DECODER, exact_norms, tiny

from crosslens import CrossEncoder, load, Pairs


torch.set_num_threads(1)  # the models are tiny: threads only get in the way

QUERY = "why do cats purr"
DOCUMENTS = ("cats purr when they rest", "the engine of a car , and the cats of the town , purr")


@pytest.fixture(params=AND_DECODER)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def any_model(family: str) -> CrossEncoder:
    """A tiny random cross-encoder of each family in turn."""
    original, tokenizer = tiny(family)
    exact_norms(original)
    return load(original, tokenizer)


@pytest.fixture
def model() -> CrossEncoder:
    return load(*tiny("bert"))


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
