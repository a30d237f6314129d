"""Contrasts of the planted models, and of a tiny model of every family."""

from collections.abc import Callable

import pytest
from one_word import one_word
from tiny import tiny

from crosslens import Axioms, collection, Contrast, CrossEncoder, load
from crosslens.planted import Planted


@pytest.fixture
def any_contrast(any_model: CrossEncoder) -> Contrast:
    return one_word(any_model)


@pytest.fixture
def contrast(model: CrossEncoder) -> Contrast:
    return one_word(model)


@pytest.fixture
def model_and_contrast() -> Callable[[str], tuple[CrossEncoder, Contrast]]:
    """A tiny model of one family, and the same pairs."""

    def build(family: str) -> tuple[CrossEncoder, Contrast]:
        model = load(*tiny(family))
        return model, one_word(model)

    return build


@pytest.fixture
def added_term() -> Callable[..., tuple[CrossEncoder, Contrast]]:
    """A planted model, and passages with one more occurrence of a query term."""

    def build(planted: Planted, n: int = 4) -> tuple[CrossEncoder, Contrast]:
        model = load(planted)
        return model, Axioms(model, collection()).tfc1(n)

    return build
