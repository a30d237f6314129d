"""The check of annotations that stands behind all tests finds what is wrong."""

import numpy as np
import pytest
from beartype.roar import BeartypeCallHintViolation
from checked import CHECKED

from crosslens import Bm25Index, Circuit
from crosslens.stats import spearman


VALUES = np.arange(4.0)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: spearman(VALUES, VALUES[:3]),  # two sizes of one axis
        lambda: spearman(VALUES[None], VALUES[None]),  # an axis too many
        lambda: spearman([0.0, 1.0], VALUES),
        lambda: Bm25Index("a text alone"),
        lambda: Circuit(3),  # a dataclass
    ],
)
def test_what_no_annotation_allows_is_refused(wrong):
    with pytest.raises(BeartypeCallHintViolation):
        wrong()
    assert spearman(VALUES, VALUES) == 1


def test_a_loop_is_checked_at_its_first_calls():
    for _ in range(CHECKED):
        assert spearman(VALUES, VALUES) == 1
    with pytest.raises(Exception) as found:
        spearman(VALUES, VALUES[:3])
    assert not isinstance(found.value, BeartypeCallHintViolation)


def test_the_next_test_is_checked_anew():
    with pytest.raises(BeartypeCallHintViolation):
        spearman(VALUES, VALUES[:3])
