"""Groups of tokens whose attention, attribution and states are compared.

The seven groups are those of Zhan et al. (2020), section 4.3: [CLS], [SEP], query tokens, and of
the document random tokens, periods, stop words and query terms.
"""

from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..idf.token_idf import TokenIdf
from ..pairs import Pairs, Segment


MOST: Final = {"random": 10, "stop words": 15, "query terms": 20}  # vectors of a pair, as published


def token_groups(
    pairs: Pairs, stopwords: Int[Tensor, " piece"], *, generator: torch.Generator
) -> dict[str, Bool[Tensor, "pair pos"]]:
    """The tokens of each group, by name; a pair may have none of some.

    Args:
        stopwords: ids of pieces that count as stop words, as `frequent_pieces` finds them.
        generator: draws the random tokens, and which are kept of a group larger than in the paper.
    """
    document, query = pairs.where("document"), pairs.where("query")
    stop = torch.isin(pairs.token, stopwords.to(pairs.device))
    matched = torch.stack(
        [
            torch.isin(token, token[wanted])
            for token, wanted in zip(pairs.token, query & ~stop, strict=True)
        ]
    )
    found = {
        "[CLS]": pairs.where("cls"),
        "[SEP]": pairs.where("sep1", "sep2"),
        "query": query,
        "periods": is_period(pairs) & document,
        "random": document,
        "stop words": stop & document,
        "query terms": matched & document,
    }
    return {
        name: draw(mask, MOST[name], generator) if name in MOST else mask
        for name, mask in found.items()
    }


def is_period(pairs: Pairs) -> Bool[Tensor, "pair pos"]:
    """Full stops: tokens "." of query and document, but for decimal points.

    A decimal point stands between two tokens of digits alone.
    """
    rows = []
    for i in range(len(pairs)):
        text = _pieces(pairs, i)
        around = zip(["", *text[:-1]], text, [*text[1:], ""], strict=True)
        rows.append(
            [
                piece == "." and not (before.isdigit() and after.isdigit())
                for before, piece, after in around
            ]
        )
    return torch.tensor(rows, dtype=torch.bool, device=pairs.device).reshape(pairs.token.shape)


def with_periods(pairs: Pairs) -> Pairs:
    """The same pairs with the roles "query period" and "document period"; all else is "word"."""
    period, query = is_period(pairs), pairs.where("query")
    role = torch.where(period, torch.where(query, 1, 2), 0)
    return pairs.with_roles(role, ("word", "query period", "document period"))


def frequent_pieces(
    tokenizer: PreTrainedTokenizerBase, documents: Sequence[str], *, n: int = 50
) -> Int[Tensor, " piece"]:
    """The ids of the `n` pieces of letters alone that are in most of `documents`.

    Zhan et al. (2020) take the first 50 of MS MARCO for stop words.
    """
    idf = TokenIdf.of_documents(tokenizer, documents).values
    names = {i: piece.lstrip("#Ġ▁") for piece, i in tokenizer.get_vocab().items()}
    is_letters = torch.tensor([names.get(i, "").isalpha() for i in range(len(idf))])
    order = idf.masked_fill(~is_letters, torch.nan).nan_to_num(torch.inf).argsort(stable=True)
    known = int((is_letters & ~idf.isnan()).sum())
    return order[: min(n, known)]


def draw(
    mask: Bool[Tensor, "pair pos"], most: int, generator: torch.Generator
) -> Bool[Tensor, "pair pos"]:
    """At most `most` of the tokens of each pair, drawn at random."""
    chance = torch.rand(mask.shape, generator=generator, device=generator.device).to(mask.device)
    rank = chance.masked_fill(~mask, -1).argsort(dim=1, descending=True, stable=True)
    rank = rank.argsort(dim=1)
    return mask & (rank < most)


def _pieces(pairs: Pairs, i: int) -> list[str]:
    """The text of each token of pair `i`, empty for special tokens and padding."""
    texts = {Segment.QUERY: pairs.query[i], Segment.DOCUMENT: pairs.document[i]}
    return [
        texts[Segment(segment)][start:end].strip() if segment in texts else ""
        for segment, (start, end) in zip(
            pairs.segment[i].tolist(), pairs.span[i].tolist(), strict=True
        )
    ]
