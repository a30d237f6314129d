"""The whole recipe on made-up questions and a tiny random encoder, in seconds."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, BertForSequenceClassification

from crosslens.default.train import Choices, finish, train
from crosslens.default.training.collection import read
from crosslens.default.training.export import note_hashes
from crosslens.default.training.pools import Pools
from crosslens.default.training.run import Recipe


CHOICES = Choices(
    epochs=2,
    pieces=120,
    seed=3,
    share=0.02,
    recipe=Recipe(rate=3e-3, warm_up=2, average=0.5, save_every=2, bfloat16=False),
)


@pytest.fixture(scope="module")
def straight(collections, backbone, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("straight")
    train(collections, backbone, out, CHOICES, frequencies={})
    return out


def weights(out: Path) -> dict[str, torch.Tensor]:
    return torch.load(out / "checkpoint.pt", weights_only=True)["model"]


def test_an_interrupted_run_ends_with_the_weights_of_a_straight_one(
    straight, collections, backbone, tmp_path
):
    interrupted = replace(CHOICES, stop_after=3)
    train(collections, backbone, tmp_path, interrupted, frequencies={})
    halfway = weights(tmp_path)
    train(collections, backbone, tmp_path, CHOICES, frequencies={})
    expected, found = weights(straight), weights(tmp_path)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    # the control: at the interruption the weights were others
    assert not all(torch.equal(halfway[name], value) for name, value in expected.items())


def test_the_export_loads_offline_and_its_hashes_hold(straight):
    folder = straight / "reranker"
    model = BertForSequenceClassification.from_pretrained(folder)
    assert model.config.num_labels == 1
    assert AutoTokenizer.from_pretrained(folder).pad_token_id == 0
    stored = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    assert len(stored["bert.embeddings.word_embeddings.weight"]) <= 120


def test_every_epoch_leaves_a_line_of_history(straight):
    lines = [json.loads(line) for line in (straight / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1]
    assert all(0 <= line["mean"] <= 1 for line in lines)


def test_a_folder_that_is_no_collection_is_refused(tmp_path):
    with gzip.open(tmp_path / "queries.tsv.gz", "wt") as file:
        file.write("1\twhat\n")
    with pytest.raises(FileNotFoundError, match="has no docs.tsv or .* A collection is a folder"):
        read(tmp_path)


def test_the_card_is_written_from_what_was_measured(straight, collections, backbone):
    pools = Pools.join([Pools.load(path) for path in sorted((straight / "pools").glob("*.npz"))])
    finish(collections, backbone, straight, pools, notes="### Tries\n\nOnly this one.")
    card = (straight / "reranker" / "README.md").read_text(encoding="utf-8")
    assert "| trec-dl-2019 | 2 |" in card and "| query term removed |" in card
    assert "Only this one." in card and "$" not in card
    hashes = json.loads((straight / "reranker" / "checksums.json").read_text())
    assert set(hashes) >= {"README.md", "model.safetensors", "tokenizer.json", "config.json"}
    note_hashes(straight / "reranker")
    assert json.loads((straight / "reranker" / "checksums.json").read_text()) == hashes
