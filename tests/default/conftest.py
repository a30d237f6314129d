"""Made-up collections with one simple truth, and a tiny random encoder as files."""

import json
from pathlib import Path

import pytest
import torch
from ir_measures import Qrel
from tokenizers import models, normalizers, pre_tokenizers, processors, Tokenizer
from transformers import BertConfig, BertModel

from crosslens.corpora.collection import Collection


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
        queries, documents, candidates, qrels = {}, {}, {}, []
        for i in range(n):
            qid, asked = f"{name}-{i}", ANIMALS[i]
            queries[qid] = f"where does the {asked} live {name}"
            others = [ANIMALS[(i + k) % 12] for k in range(1, 6)]
            mine = {f"{qid}-{a}": f"{say(a, PLACES[i % 10])} {name}" for a in (asked, *others)}
            documents |= mine
            candidates[qid] = tuple(mine)
            qrels += [Qrel(qid, docid, 3 * docid.endswith(asked)) for docid in mine]
        made[name] = Collection(name, queries, documents, tuple(qrels), candidates)
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
