"""Tiny random models of every family, and pairs of unequal length so that padding is in play."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from typing import Any, Final

import jaxtyping
import pytest
import torch
from command_line import LOADED
from tiny import AND_DECODER, exact_norms, tiny

from crosslens import CrossEncoder, load, Pairs


torch.set_num_threads(1)  # the models are tiny: threads only get in the way

QUERY = "why do cats purr"
DOCUMENTS = ("cats purr when they rest", "the engine of a car , and the cats of the town , purr")


def pytest_runtest_setup() -> None:
    torch.default_generator.manual_seed(0)  # `torch.manual_seed` asks every kind of device


@cache
def loaded(family: str) -> CrossEncoder:
    """A tiny random cross-encoder of a family, which no test may change: it is copied."""
    original, tokenizer = tiny(family)
    exact_norms(original)
    return load(original, tokenizer)


@pytest.fixture(params=AND_DECODER)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


LENT: Final[dict[str, CrossEncoder]] = {}  # copies that no test has changed


def lent(family: str) -> Iterator[CrossEncoder]:
    """A copy for one test, and for the next if this one leaves it as it was."""
    model = LENT.pop(family, None) or deepcopy(loaded(family))
    before = state(model)
    yield model
    if state(model) == before:
        LENT[family] = model


def state(model: CrossEncoder) -> tuple[Any, ...]:
    """What a test may change of a model: weights and their gradients, parts, modes and hooks."""
    weights = [
        (name, each.data_ptr(), each._version, each.dtype, each.requires_grad, each.grad is None)
        for name, each in model.named_parameters()
    ]
    parts = [
        (id(part), part.training, [id(value) for value in vars(part).values()])
        for part in model.modules()
    ]
    hooks = [
        (len(point.fwd_hooks), len(point.bwd_hooks), len(point._forward_hooks))
        for point in model.hook_dict.values()
    ]
    return weights, parts, hooks


@pytest.fixture
def any_model(family: str) -> Iterator[CrossEncoder]:
    """A tiny random cross-encoder of each family in turn."""
    yield from lent(family)


@pytest.fixture
def model() -> Iterator[CrossEncoder]:
    yield from lent("bert")


@pytest.fixture
def double() -> Callable[[CrossEncoder], CrossEncoder]:
    """In float64, where a difference means a difference."""
    return lambda model: model.double()


@pytest.fixture
def pairs(model: CrossEncoder) -> Pairs:
    return model.pair(QUERY, *DOCUMENTS)


@pytest.fixture(scope="module")
def loaded_once() -> Iterator[None]:
    """A model that commands ask for again, by the same name, is the one that was loaded."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("crosslens.model.load.load", LOADED)
        yield


@pytest.fixture
def unchecked():
    """As users run it: annotations are not checked, as they are in this test run."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
