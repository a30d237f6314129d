"""The whole recipe on made-up questions and a tiny random encoder, in seconds."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import models, normalizers, pre_tokenizers, processors, Tokenizer
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, BertModel

from crosslens.default.train import Choices, train
from crosslens.default.training.collection import Collection, read
from crosslens.default.training.run import Recipe


ANIMALS = "horse zebra otter heron gecko llama moose raven trout camel finch koala".split()
PLACES = "forest desert river island valley meadow harbor canyon tundra lagoon".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.?,"


def say(animal: str, place: str) -> str:
    return f"The {animal} lives in the {place} where it finds food. It sleeps at night."


@pytest.fixture(scope="module")
def collections() -> dict[str, Collection]:
    """Three collections that share one simple truth: the answer names the animal asked for."""
    made = {}
    for name, n in (("trec-dl-2020", 12), ("wikiqa", 12), ("trec-dl-2019", 2)):
        queries, documents, grades = {}, {}, {}
        for i in range(n):
            qid, asked = f"{name}-{i}", ANIMALS[i]
            queries[qid] = f"where does the {asked} live {name}"
            others = [ANIMALS[(i + k) % 12] for k in range(1, 6)]
            mine = {f"{qid}-{a}": f"{say(a, PLACES[i % 10])} {name}" for a in (asked, *others)}
            documents |= mine
            grades[qid] = {docid: int(docid.endswith(asked)) for docid in mine}
        candidates = {qid: list(of_query) for qid, of_query in grades.items()}
        made[name] = Collection(name, queries, documents, grades, candidates)
    return made


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> Path:
    """A random two-layer encoder with a WordPiece tokenizer, as files."""
    folder = tmp_path_factory.mktemp("backbone")
    words = [w.lower().strip(".") for a in ANIMALS for p in PLACES for w in say(a, p).split()]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]
    pieces += [f"##{letter}" for letter in LETTERS] + sorted(set(words))
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "pad_token": "[PAD]"})
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=512,
    )
    BertModel(config).save_pretrained(folder)
    return folder


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
    with pytest.raises(FileNotFoundError, match="has no docs.tsv.gz; a collection is a folder"):
        read(tmp_path)
