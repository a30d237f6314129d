"""Where a result comes from: digests of the model and of the texts, for a run to be resumed on."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

import torch

from .corpora.collection import Collection
from .model.encoder import CrossEncoder


ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")  # of a function: another in every process
PROBES: Final = torch.tensor([-2.0, -0.7, 0.3, 1.5])  # where activation functions differ


def provenance(*texts: Collection, model: CrossEncoder | None = None) -> dict[str, Any]:
    """SHA-256 digests of all that must be the same for a run to be resumed, by what they are of.

    Of the model: its `dtype`, as it is; `weights`, `architecture` (sizes, heads, activation
    functions, how the score is read) and `tokenizer`, whether it comes from files or is in memory.
    Of the collections: `queries`, `documents`, `document types`, `judgements` and `candidates`.
    """
    found = {} if model is None else of_model(model)
    return {**found, **of_texts(texts)}


def of_model(model: CrossEncoder) -> dict[str, str]:
    """The digests of a model: weights, architecture, tokenizer."""
    weights = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        weights.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        weights.update(raw.numpy().data)
    elsewhere = {"checkpoint", "device"}  # where it came from and where it is change no score
    sizes = {key: value for key, value in asdict(model.cfg).items() if key not in elsewhere}
    tokens = {each.name: getattr(model.tokens, each.name) for each in fields(model.tokens)}
    tokenizer = tokens.pop("tokenizer")
    described = {key: ADDRESS.sub("", repr(value)) for key, value in tokens.items()}
    return {
        "dtype": str(model.dtype).removeprefix("torch."),
        "weights": weights.hexdigest(),
        "architecture": digest([sizes, str(model.relevance), *_modules(model)]),
        "tokenizer": digest([described, *_of(tokenizer)]),
    }


def of_texts(texts: Iterable[Collection]) -> dict[str, str]:
    """The digests of all that may change a result; the order of lines in files may not."""
    every = list(texts)
    if not every:
        return {}
    kinds = {
        "queries": [sorted(each.queries.items()) for each in every],
        "query fields": [sorted(each.fields.items()) for each in every],
        "documents": [each.documents_digest or sorted(each.documents.items()) for each in every],
        "document types": [sorted(each.types.items()) for each in every],
        "judgements": [
            sorted((qrel.query_id, qrel.doc_id, qrel.relevance) for qrel in each.judgements)
            for each in every
        ],
        "candidates": [
            sorted((qid, sorted(docids)) for qid, docids in each.candidates.items())
            for each in every
        ],
    }
    return {kind: digest(values) for kind, values in kinds.items()}


def of_file(path: Path) -> str:
    """The digest of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest(value: Any) -> str:
    """SHA-256, in hexadecimal, of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _modules(model: CrossEncoder) -> list[list[Any]]:
    """Every module with what changes its output and is no weight: numbers, names, functions."""
    found: list[list[Any]] = []
    for name, module in model.named_modules():
        own = {key: value for key, value in vars(module).items() if key[0] != "_"}
        kept: dict[str, Any] = {
            key: list(value) if isinstance(value, tuple | list) else value
            for key, value in own.items()
            if key not in ("training", "forwards", "name")
            and isinstance(value, bool | int | float | str)
        }
        for key, value in own.items():
            if callable(value) and not isinstance(value, torch.nn.Module | type):
                kept[key] = _responses(value)
        described = module.extra_repr()
        found.append([name, type(module).__name__, described, kept])
    return found


def _responses(function: Any) -> Any:
    """What an activation function makes of some numbers; of another function, its name."""
    try:
        return function(PROBES).tolist()
    except Exception:
        return getattr(function, "__qualname__", type(function).__name__)


def _of(tokenizer: Any) -> list[Any]:
    """Everything that decides which tokens a tokenizer makes."""
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    for state in ("truncation", "padding"):  # of the last call, no property of the tokenizer
        backend.pop(state, None)
    return [backend, tokenizer.padding_side, tokenizer.truncation_side, tokenizer.model_max_length]
