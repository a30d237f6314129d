"""A word attribution: what each token of a pair, and each word, does for the score."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...pairs import NOT_A_WORD, Pairs, Segment


@dataclass(frozen=True, eq=False)
class WordAttribution:
    """One number per token, by one method.

    `token` is 0 at padding. Where `is_additive`, a word's number is the sum over its tokens;
    else all tokens of a word hold the number of the whole word, as when words are removed.
    Numbers of different methods have different units: compare their order.

    Raises:
        ValueError: not one number for each token.
    """

    method: str
    pairs: Pairs
    token: Float[Tensor, "pair pos"]
    is_additive: bool = True

    def __post_init__(self) -> None:
        if self.token.shape != self.pairs.token.shape:
            raise ValueError(
                f"{self.method}: {tuple(self.token.shape)} numbers for tokens of shape "
                f"{tuple(self.pairs.token.shape)}"
            )

    def words(self) -> pd.DataFrame:
        """One row per word: pair, segment, word (numbered in its text), text and value.

        Special tokens are words of their own, in the order of the pair.
        """
        rows = []
        for i in range(len(self.pairs)):
            texts, values = self.pairs.words(i), self.token[i].tolist()
            for segment, word, tokens in words_of(self.pairs, i):
                own = [values[place] for place in tokens]
                value = sum(own) if self.is_additive else own[0]
                rows.append((i, segment.name.lower(), word, texts[tokens[0]], value))
        return pd.DataFrame(rows, columns=["pair", "segment", "word", "text", "value"])

    def frame(self) -> pd.DataFrame:
        """One row per token that is not padding: pair, pos, segment, word, value."""
        pair, pos = (places.numpy(force=True) for places in self.pairs.attended.nonzero().T)
        names = np.array([segment.name.lower() for segment in Segment])
        return pd.DataFrame(
            {
                "pair": pair,
                "pos": pos,
                "segment": names[self.pairs.segment.numpy(force=True)[pair, pos]],
                "word": self.pairs.word.numpy(force=True)[pair, pos],
                "value": self.token.double().numpy(force=True)[pair, pos],
            }
        )

    def order(self, i: int, among: Bool[Tensor, "pair pos"] | None = None) -> list[int]:
        """The positions of pair `i` from the largest value down; ties keep the pair's order.

        By default all tokens of the query and the document; `among` names others.
        """
        chosen = self.pairs.where("query", "document") if among is None else among
        places = chosen[i].nonzero().flatten()
        # values may be elsewhere than pairs: made by hand, or by a scorer in main memory
        values = self.token[i].to(places.device)[places]
        return places[values.argsort(descending=True, stable=True)].tolist()


def words_of(pairs: Pairs, i: int) -> list[tuple[Segment, int, list[int]]]:
    """The words of pair `i`, in order: segment, number in its text, and the places of its tokens.

    A special token is a word of its own, without a number (`NOT_A_WORD`).
    """
    found: list[tuple[Segment, int, list[int]]] = []
    rows = zip(pairs.segment[i].tolist(), pairs.word[i].tolist(), strict=True)
    for place, (segment, word) in enumerate(rows):
        if segment == Segment.PAD:
            continue
        if found and word != NOT_A_WORD and found[-1][:2] == (segment, word):
            found[-1][2].append(place)
        else:
            found.append((Segment(segment), word, [place]))
    return found


def to_tokens(
    pairs: Pairs, values: list[dict[tuple[int, ...], float]]
) -> Float[Tensor, "pair pos"]:
    """Values of words, keyed by the places of their tokens, written to each of those tokens."""
    whole = torch.zeros(pairs.token.shape, dtype=torch.float32, device=pairs.device)
    for i, own in enumerate(values):
        for tokens, value in own.items():
            whole[i, list(tokens)] = value
    return whole
