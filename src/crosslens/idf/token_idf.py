"""How rare every token of a model's vocabulary is: counted in documents, or read from a table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..signals.frequency import Frequencies, Idf, idf_lucene, Number


AT_ONCE: Final = 1_000  # documents that are tokenized together


@dataclass(frozen=True, eq=False)
class TokenIdf:
    """The IDF of every id of a vocabulary; nan where it is not known.

    Attributes:
        values: IDF by token id, in nats.
        is_whole: ids that begin a word; no continuation, no special token.
        source: where the figures come from.
    """

    values: Float[Tensor, " token"]
    is_whole: Bool[Tensor, " token"]
    source: str

    @classmethod
    def of_documents(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        documents: Iterable[str],
        *,
        convention: Idf = idf_lucene,
    ) -> "TokenIdf":
        """Counted over `documents` as the model's tokenizer cuts them.

        A token that occurs in none has no IDF here: that it is rare is all one would know.
        """
        texts = iter(documents)
        frequencies = Frequencies.of(
            ids
            for some in iter(lambda: list(islice(texts, AT_ONCE)), [])
            for ids in tokenizer(some, add_special_tokens=False, verbose=False)["input_ids"]
        )
        df = {piece: frequencies.df.get(i, 0) for piece, i in tokenizer.get_vocab().items()}
        return cls.of_df(
            tokenizer,
            df,
            frequencies.n_documents,
            convention=convention,
            source=f"{frequencies.n_documents:,} documents",
        )

    @classmethod
    def of_df(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        df: Mapping[str, int],
        n_documents: int,
        *,
        convention: Idf = idf_lucene,
        source: str = "a table of document frequencies",
    ) -> "TokenIdf":
        """From a piece's document frequency in a collection of `n_documents`; 0 is not known."""
        idf = {piece: convention(n, n_documents) for piece, n in df.items() if n}
        return cls.of_table(tokenizer, idf, source=source)

    @classmethod
    def of_table(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        idf: Mapping[str, Number],
        *,
        source: str = "a table of IDF",
    ) -> "TokenIdf":
        """From a piece's IDF, by the pieces' own names ("##ing" and "ing" are two).

        Raises:
            ValueError: the table and the vocabulary share no piece.
        """
        vocabulary = tokenizer.get_vocab()
        known = {i: float(idf[piece]) for piece, i in vocabulary.items() if piece in idf}
        special = set(tokenizer.all_special_ids)
        if not known.keys() - special:
            theirs, ours = list(islice(idf, 3)), list(islice(vocabulary, 3))
            raise ValueError(
                f"{source} knows no piece of this vocabulary: it has {theirs}, the tokenizer {ours}"
            )
        values = torch.full((1 + max(vocabulary.values()),), torch.nan, dtype=torch.float64)
        values[list(known)] = torch.tensor([*known.values()], dtype=values.dtype)
        is_whole = torch.zeros(len(values), dtype=torch.bool)
        is_whole[[i for i in begin_words(tokenizer) if i not in special]] = True
        return cls(values, is_whole, source)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def is_known(self) -> Bool[Tensor, " token"]:
        """Whole tokens with a known IDF: those that a correlation is taken over."""
        return self.is_whole & ~self.values.isnan()

    def first(self, n: int) -> "TokenIdf":
        """The same, with nothing known beyond the first `n` ids (the authors take 20,000)."""
        among = torch.arange(len(self)) < n
        return TokenIdf(
            self.values.masked_fill(~among, torch.nan), self.is_whole, f"{self.source}, ids < {n}"
        )

    def log(self) -> "TokenIdf":
        """Its logarithm, for models that store that; tokens in every document drop out."""
        values = self.values.masked_fill(self.values <= 0, torch.nan).log()
        return TokenIdf(values, self.is_whole, f"log of {self.source}")

    def filled(self) -> Float[Tensor, " token"]:
        """A number for every id: an unknown one is as rare as the rarest, as BM25 has it."""
        return self.values.nan_to_num(nan=float(self.values[~self.values.isnan()].max()))

    def __repr__(self) -> str:
        n = int(self.is_known.sum())
        return f"TokenIdf({n:,} whole tokens of {len(self):,} ids, from {self.source})"


def begin_words(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The ids of pieces that begin a word.

    WordPiece marks those that do not with "##"; BPE and SentencePiece mark those that do.
    """
    vocabulary = tokenizer.get_vocab()
    marked = [i for piece, i in vocabulary.items() if piece[0] in "Ġ▁" and len(piece) > 1]
    return marked or [
        i for piece, i in vocabulary.items() if not piece.startswith(("##", "[unused"))
    ]
