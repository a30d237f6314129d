"""The judgement that is distilled: a bi-encoder's cosine, and a little BM25.

A bi-encoder reads query and document apart, so it can judge every document for every query at the
price of reading each once. Three signals, each at most 1, are blended:

- the cosine with the whole document;
- the largest cosine with one of its windows, which finds an answer inside a longer text;
- BM25 as a share of what a document saying just the query could score, which tells exact terms.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import AutoTokenizer, BertModel, PreTrainedTokenizerBase

from ...batching.batch_size import BatchSize
from .lexical import lexical_index, share
from .phrases import windows


class Blend(NamedTuple):
    """What each signal counts for."""

    document: float = 0.5
    window: float = 0.5
    bm25: float = 0.1


BLEND: Final = Blend()  # the best of a grid on TREC DL 2020


@dataclass(frozen=True)
class BiEncoder:
    """Texts to unit vectors: the mean of a BERT encoder's last hidden states."""

    model: BertModel
    tokenizer: PreTrainedTokenizerBase
    max_length: int = 256
    seen: dict[str, Float[np.ndarray, " d_model"]] = field(default_factory=dict)

    @classmethod
    def load(cls, backbone: Path) -> "BiEncoder":
        return cls(
            BertModel.from_pretrained(backbone, attn_implementation="eager").eval(),
            AutoTokenizer.from_pretrained(backbone),
        )

    def __call__(self, texts: Sequence[str]) -> Float[np.ndarray, "text d_model"]:
        """A row for each text; what was read before is remembered."""
        new = list(dict.fromkeys(text for text in texts if text not in self.seen))
        self.seen.update(zip(new, self._read(new), strict=True))
        return np.stack([self.seen[text] for text in texts])

    def _read(self, texts: Sequence[str], at_once: int = 64) -> Float[np.ndarray, "text d_model"]:
        if not texts:
            return np.zeros((0, self.model.config.hidden_size), dtype=np.float32)
        ids = self.tokenizer(list(texts), truncation=True, max_length=self.max_length)["input_ids"]
        by_length = np.argsort([len(row) for row in ids], kind="stable").tolist()
        vectors = np.zeros((len(texts), self.model.config.hidden_size), dtype=np.float32)

        def run(rows: Sequence[int]) -> Float[np.ndarray, "text d_model"]:
            padded = self.tokenizer.pad({"input_ids": [ids[i] for i in rows]}, return_tensors="pt")
            hidden: Tensor = self.model(**padded).last_hidden_state.float()
            attended = padded["attention_mask"][:, :, None]
            mean = (hidden * attended).sum(1) / attended.sum(1)
            return torch.nn.functional.normalize(mean, dim=-1).numpy()

        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            for rows, found in BatchSize(at_once, item="text").batches(run, by_length):
                vectors[rows] = found
        return vectors


class Judgement(NamedTuple):
    """One query's view of every document."""

    cosine: Float[np.ndarray, " doc"]
    bm25: Float[np.ndarray, " doc"]
    blend: Float[np.ndarray, " doc"]


class Teacher:
    """Every document of a set, read once, ready to be judged for any query."""

    def __init__(self, encoder: BiEncoder, documents: Sequence[str], blend: Blend = BLEND):
        self.encoder, self.blend = encoder, blend
        self.documents = encoder(documents)
        pieces = [windows(text) for text in documents]
        self.first_window: Int[np.ndarray, " doc"] = np.cumsum([0, *map(len, pieces)])[:-1]
        self.windows = encoder([piece for of_one in pieces for piece in of_one])
        self.lexical = lexical_index({str(i): text for i, text in enumerate(documents)})

    def judge(self, queries: Sequence[str], at_once: int = 256) -> Iterator[Judgement]:
        """A `Judgement` for each query, in order."""
        for start in range(0, len(queries), at_once):
            texts = list(queries[start : start + at_once])
            vectors = self.encoder(texts)
            whole = vectors @ self.documents.T
            inside = np.maximum.reduceat(vectors @ self.windows.T, self.first_window, axis=1)
            for query, of_document, of_window in zip(texts, whole, inside, strict=True):
                bm25 = share(self.lexical, query)
                blend = (
                    self.blend.document * of_document
                    + self.blend.window * of_window
                    + self.blend.bm25 * bm25
                )
                yield Judgement(of_document, bm25, blend)
