import pytest
import torch
from transformers import BertForSequenceClassification

from crosslens.default.training.reading import Lengths, Reader
from crosslens.default.training.sanity import drops, keep_apart, scores_of, without
from crosslens.default.training.vocabulary import read_tokenizer


@pytest.fixture(scope="module")
def tokenizer(backbone):
    return read_tokenizer(backbone)


@pytest.fixture(scope="module")
def model(backbone):
    torch.manual_seed(0)
    model = BertForSequenceClassification.from_pretrained(
        backbone, num_labels=1, attn_implementation="eager"
    )
    with torch.no_grad():  # random maps are so small that attention would hardly matter
        for parameter in model.bert.encoder.parameters():
            parameter.mul_(10 if parameter.ndim == 2 else 1)
    return model.eval()


def test_kept_apart_neither_text_is_read_by_the_other(tokenizer):
    reader = Reader.of(["the zebra", "a heron sleeps"], tokenizer, Lengths())
    batch = reader.batch([(0, 1)])
    open_ = keep_apart(batch, reader)[0, 0] == 0
    query, document, special = slice(1, 3), slice(4, 7), (0, 3, 7)
    assert not open_[query, document].any() and not open_[document, query].any()
    assert open_[query, query].all() and open_[document, document].all()
    assert open_[special, :].all() and open_[:, special].all()


def test_reading_apart_changes_scores_and_an_open_mask_does_not(model, tokenizer, monkeypatch):
    pairs = [("the zebra", "a zebra sleeps at night"), ("heron", "the heron lives")]
    intact = scores_of(model, tokenizer, pairs)
    assert abs(scores_of(model, tokenizer, pairs, apart=True) - intact).max() > 1e-6
    monkeypatch.setattr(
        "crosslens.default.training.sanity.keep_apart",
        lambda batch, reader: torch.zeros(1, 1, *[batch["input_ids"].shape[1]] * 2),
    )
    again = scores_of(model, tokenizer, pairs, apart=True)
    assert again == pytest.approx(intact, abs=1e-5)


def test_a_word_is_left_out_wherever_it_stands_and_only_it():
    text = "The zebra, striped. Zebras are not a zebra."
    assert without(text, "zebra") == "The striped. Zebras are not a"


def test_drops_are_of_the_pairs_that_share_a_word(model, tokenizer, collections):
    found = drops(model, tokenizer, collections["trec-dl-2019"], least_grade=3)
    assert {drop.pairs for drop in found.values()} == {2}
    assert all(0 <= drop.share <= 1 for drop in found.values())
    with pytest.raises(ValueError, match="no document of grade 4 or more"):
        drops(model, tokenizer, collections["trec-dl-2019"], least_grade=4)
