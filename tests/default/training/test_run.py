"""A step of the recipe is the same where memory is short, or an error that says what to change."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from transformers import BertForSequenceClassification

import crosslens.default.training.run as module
from crosslens.batching.batch_size import DoesNotFit
from crosslens.default.training.diet import List
from crosslens.default.training.reading import Lengths, Reader, score
from crosslens.default.training.run import gradient, Recipe, Run
from crosslens.default.training.teacher import BiEncoder
from crosslens.default.training.vocabulary import read_tokenizer


TEXTS = [
    "where does the zebra live",
    "the zebra lives in the desert",
    "a heron sleeps at night by the river in the valley",
    "the otter",
    "the koala finds food where it sleeps",
]
LISTS = [
    List(0, np.array(documents), np.linspace(0, 1, len(documents)))
    for documents in ([1, 2, 3], [4, 1], [2, 3, 4, 1], [1, 3])
]
RECIPE = Recipe(bfloat16=False, warm_up=1, threads=2)


@pytest.fixture
def reader(backbone) -> Reader:
    return Reader.of(TEXTS, read_tokenizer(backbone), Lengths())


@pytest.fixture
def model(backbone) -> BertForSequenceClassification:
    torch.manual_seed(0)
    return BertForSequenceClassification.from_pretrained(
        backbone, num_labels=1, attn_implementation="eager",
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip


def weights(run: Run) -> dict[str, torch.Tensor]:
    return {name: each.detach().clone() for name, each in run.model.named_parameters()}


def small(monkeypatch, model: BertForSequenceClassification, rows: int) -> list[int]:
    """Passes of more than some rows end in an error; the sizes of all."""
    whole, sizes = model.forward, []

    def forward(**given):
        sizes.append(len(given["input_ids"]))
        found = whole(**given)
        if sizes[-1] > rows:
            raise torch.OutOfMemoryError("no memory left for the pass there")
        return found

    monkeypatch.setattr(model, "forward", forward)
    return sizes


def test_a_step_is_the_same_where_lists_do_not_fit_side_by_side(model, reader, monkeypatch):
    large, tight = Run(deepcopy(model), RECIPE), Run(model, RECIPE)
    before = weights(tight)
    tried: list[int] = []

    def with_memory_for_one(*task):
        tried.append(tight.lists.items)
        found = gradient(*task)
        if tight.lists.items > 1:
            raise torch.OutOfMemoryError("no memory left for two lists")
        return found

    for _ in range(2):
        expected = large.take_step(reader, LISTS, total=4)
    monkeypatch.setattr(module, "gradient", with_memory_for_one)
    for _ in range(2):
        assert tight.take_step(reader, LISTS, total=4)
    assert max(tried) > 1 and tried[-len(LISTS) :] == [1] * len(LISTS)
    for name, value in weights(large).items():
        assert torch.equal(weights(tight)[name], value), name
    assert not all(torch.equal(weights(tight)[name], value) for name, value in before.items())
    assert expected["ranking"] > 0


def test_pairs_of_a_list_are_scored_in_smaller_batches(model, reader, monkeypatch):
    pairs = LISTS[2].pairs
    expected = score(model, reader, pairs, bfloat16=False)
    sizes = small(monkeypatch, model, 1)
    found = score(model, reader, pairs, bfloat16=False)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    assert max(sizes) > 1


def test_a_list_that_does_not_fit_is_an_error_that_says_what_to_make_smaller(
    model, reader, monkeypatch
):
    small(monkeypatch, model, 0)
    with pytest.raises(DoesNotFit, match=r"^one list of \d documents.*Plan\.documents"):
        Run(model, RECIPE).take_step(reader, LISTS, total=4)


def test_another_error_of_a_list_is_not_tried_again(model, reader, monkeypatch):
    def wrong(**given):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(model, "forward", wrong)
    with pytest.raises(RuntimeError, match="shapes cannot"):
        Run(model, RECIPE).take_step(reader, LISTS, total=4)


def test_the_teacher_reads_fewer_texts_where_memory_is_short(backbone, monkeypatch):
    encoder = BiEncoder.load(backbone)
    expected = BiEncoder.load(backbone)(TEXTS)
    whole, sizes = encoder.model.forward, []

    def forward(**given):
        sizes.append(len(given["input_ids"]))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError
        return whole(**given)

    monkeypatch.setattr(encoder.model, "forward", forward)
    np.testing.assert_allclose(encoder(TEXTS), expected, atol=2e-2)  # products in bfloat16
    assert sizes[0] == len(TEXTS) and max(sizes[-2:]) <= 2
