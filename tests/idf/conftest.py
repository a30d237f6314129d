"""A planted model, which holds the logarithm of IDF along a known direction."""

import pytest

from crosslens import CrossEncoder, load, plant
from crosslens.idf import TokenIdf
from crosslens.planted import Planted


@pytest.fixture(scope="session")
def planted() -> Planted:
    return plant("bm25?seed=1")


@pytest.fixture(scope="session")
def bm25_model(planted: Planted) -> CrossEncoder:
    return load(planted)


@pytest.fixture(scope="session")
def known(planted: Planted) -> TokenIdf:
    """What was planted."""
    table = {str(piece): planted.frequencies.idf(piece) for piece in planted.frequencies.df}
    return TokenIdf.of_table(planted.tokenizer, table, source="what was planted")
