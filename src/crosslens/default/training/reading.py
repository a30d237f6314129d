"""Texts as token ids, and pairs of them as the batches a cross-encoder reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from tokenizers import Tokenizer
from torch import Tensor
from transformers import BertForSequenceClassification

from ...batching.batch_size import BatchSize


class Lengths(NamedTuple):
    """The most tokens of a pair, special tokens included, and of its query."""

    pair: int = 104
    query: int = 40


TRAINED: Final = Lengths()
TESTED: Final = Lengths(pair=160, query=64)


@dataclass(frozen=True)
class Reader:
    """Token ids of a table of texts, and how two of them make a pair."""

    ids: tuple[np.ndarray, ...]  # of different lengths
    cls: int
    sep: int
    lengths: Lengths

    @classmethod
    def of(cls, texts: Sequence[str], tokenizer: Tokenizer, lengths: Lengths) -> "Reader":
        encoded = tokenizer.encode_batch(list(texts), add_special_tokens=False)
        ids = tuple(np.array(e.ids[: lengths.pair], dtype=np.int32) for e in encoded)
        special = tokenizer.get_vocab()
        return cls(ids, special["[CLS]"], special["[SEP]"], lengths)

    def length(self, query: int, document: int) -> int:
        n_query = min(len(self.ids[query]), self.lengths.query)
        return min(n_query + len(self.ids[document]) + 3, self.lengths.pair)

    def batch(self, pairs: Sequence[tuple[int, int]]) -> dict[str, Int[Tensor, "pair pos"]]:
        """`[CLS] query [SEP] document [SEP]`, padded with 0, the document cut to fit."""
        rows = []
        for query, document in pairs:
            asked = self.ids[query][: self.lengths.query]
            answer = self.ids[document][: self.lengths.pair - 3 - len(asked)]
            rows.append((asked, answer))
        width = max(len(asked) + len(answer) for asked, answer in rows) + 3
        token = np.zeros((len(rows), width), dtype=np.int64)
        token_type = np.zeros_like(token)
        attended = np.zeros_like(token)
        for i, (asked, answer) in enumerate(rows):
            start, stop = len(asked) + 2, len(asked) + len(answer) + 3
            token[i, 0], token[i, start - 1], token[i, stop - 1] = self.cls, self.sep, self.sep
            token[i, 1 : start - 1], token[i, start : stop - 1] = asked, answer
            token_type[i, start:stop] = 1
            attended[i, :stop] = 1
        return {
            "input_ids": torch.from_numpy(token),
            "token_type_ids": torch.from_numpy(token_type),
            "attention_mask": torch.from_numpy(attended),
        }


def score(
    model: BertForSequenceClassification,
    reader: Reader,
    pairs: Sequence[tuple[int, int]],
    *,
    at_once: int = 24,
    bfloat16: bool = True,
) -> Float[Tensor, " pair"]:
    """The logit of every pair, in order; pairs of like length are read together.

    Gradients flow if they are on. Matrix products run in bfloat16 if asked, on processors that
    have it a speed-up of three. Where memory runs out, batches of `at_once` pairs are halved.

    Raises:
        DoesNotFit: there is no memory for one pair.
    """
    by_length = sorted(range(len(pairs)), key=lambda i: reader.length(*pairs[i]))

    def run(rows: Sequence[int]) -> Float[Tensor, " pair"]:
        return model(**reader.batch([pairs[i] for i in rows])).logits.float().flatten()

    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        parts = [scores for _, scores in BatchSize(at_once).batches(run, by_length)]
    return torch.cat(parts)[torch.argsort(torch.tensor(by_length))]
