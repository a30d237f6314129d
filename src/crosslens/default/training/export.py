"""The folder that others load: float16 weights, configuration, tokenizer, and their hashes."""

import copy
import hashlib
import json
from pathlib import Path

from tokenizers import Tokenizer
from transformers import BertForSequenceClassification

from .vocabulary import wrap


def export(model: BertForSequenceClassification, tokenizer: Tokenizer, folder: Path) -> None:
    """Write `model` and `tokenizer` so that AutoTokenizer and BertForSequenceClassification,
    sentence-transformers' CrossEncoder and CrossLens all load them with no network."""
    folder.mkdir(parents=True, exist_ok=True)
    half = copy.deepcopy(model)
    half.half()
    half.config.architectures = ["BertForSequenceClassification"]
    half.config.id2label, half.config.label2id = {0: "relevance"}, {"relevance": 0}
    half.config.sentence_transformers = {"activation_fn": "torch.nn.modules.linear.Identity"}
    half.save_pretrained(folder)
    wrap(tokenizer, model.config.max_position_embeddings).save_pretrained(folder)
    note_hashes(folder)


def note_hashes(folder: Path) -> None:
    """Write `checksums.json`: the SHA-256 of every other file of `folder`."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and p.name != "checksums.json")
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    (folder / "checksums.json").write_text(json.dumps(hashes, indent=2) + "\n")
