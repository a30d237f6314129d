import pytest

from crosslens import Contrast, patching
from crosslens.attribution.attention.match_curves import _length
from crosslens.batching.batches import batches_by_length
from crosslens.faithfulness import keep_nodes


@pytest.fixture
def contrast(model):
    """Two pairs of unequal length that differ in one word."""
    base = ["a car in the town and the bark of a dog by the river", "the engine of a car rest"]
    more = [text.replace("car", "python") for text in base]
    query = ["why do cats purr"] * 2
    return Contrast.between(model.pairs(query, base), model.pairs(query, more), "one word")


def test_every_pair_is_in_one_batch_and_lengths_rise(contrast):
    batches = batches_by_length(contrast.base, 1)
    assert sorted(row for batch in batches for row in batch) == list(range(len(contrast)))
    lengths = [int(contrast.base.lengths[batch[0]]) for batch in batches]
    assert lengths == sorted(lengths)
    assert sum(batches_by_length(contrast.base, 2), []) == sum(batches, [])


def test_a_batch_of_no_pairs_is_refused_as_such(model, contrast):
    with pytest.raises(ValueError, match="at_once=0"):
        batches_by_length(contrast.base, 0)
    with pytest.raises(ValueError, match="at_once=0"):
        patching(model, contrast, model.heads(), at_once=0)
    with pytest.raises(ValueError, match="at_once=0"):
        keep_nodes(model, contrast, [model.heads()[:1]], at_once=0)


def test_the_length_of_a_pair_has_no_special_tokens(contrast):
    pairs = contrast.base
    special = pairs.where("cls", "sep1", "sep2").sum(dim=1)
    assert _length(pairs).tolist() == (pairs.lengths - special).tolist()


def test_a_contrast_and_its_effects_print_as_one_line(model, contrast):
    effects = patching(model, contrast, model.heads())
    for value in (contrast, effects):
        assert len(repr(value)) < 120 and "\n" not in repr(value)
        assert contrast.signal in repr(value)
