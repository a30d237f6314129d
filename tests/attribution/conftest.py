"""Contrasts that a first-order estimate must get exactly right."""

from collections.abc import Callable

import pytest
import torch
from one_word import one_word
from tiny import exact_norms, tiny

from crosslens import Contrast, CrossEncoder, load


@pytest.fixture
def close() -> Callable[..., tuple[CrossEncoder, Contrast]]:
    """A model of any family, and pairs that differ in one word with nearly the same embedding:
    so close that the score is linear between them, and magnified so that they differ at all."""

    def build(family: str, apart: float = 1e-6) -> tuple[CrossEncoder, Contrast]:
        original, tokenizer = tiny(family)
        exact_norms(original)
        model = load(original, tokenizer)
        contrast = one_word(model)
        base, more = contrast.base, contrast.more
        (car,) = base.token[base.token != more.token].unique()
        (python,) = more.token[base.token != more.token].unique()
        drawn = torch.randn(
            model.W_E.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        with torch.no_grad():
            model.W_E[python] = model.W_E[car] + apart * drawn
            model.head.out.weight /= apart
        return model, contrast

    return build


@pytest.fixture
def apart() -> tuple[CrossEncoder, Contrast]:
    """A tiny BERT, and pairs that differ in a word with another embedding altogether."""
    model = load(*tiny("bert"))
    return model, one_word(model)
