"""Token roles: what part a token plays in a contrast, the same on both of its sides.

The classes by which Lu et al. (2025, section 2) add up effects over positions.
"""

from collections.abc import Collection, Sequence
from typing import Final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from ..pairs import Pairs, Segment
from ..signals.frequency import tokenize


ROLES: Final = {
    "[CLS]": "the token whose state is scored",
    "Q+": "the selected term in the query",
    "Q-": "the other tokens of the query",
    "[SEP]1": "the separator after the query",
    "D_inj": "the tokens that differ between the two sides",
    "D+": "other occurrences of the selected term in the document",
    "D-": "occurrences of other query terms in the document",
    "D_other": "the rest of the document",
    "[SEP]2": "the separator after the document",
    "[PAD]": "padding",
}
NAMES: Final = tuple(ROLES)
BY_SEGMENT: Final = {
    Segment.CLS: "[CLS]",
    Segment.SEP1: "[SEP]1",
    Segment.SEP2: "[SEP]2",
    Segment.PAD: "[PAD]",
}


def roles(
    pairs: Pairs, terms: Sequence[str], edited: Bool[Tensor, "pair pos"]
) -> Int[Tensor, "pair pos"]:
    """The role of every token, as an index into `NAMES`, given each pair's selected term."""
    rows = [
        [
            NAMES.index(role_of(Segment(segment), word, term, others, is_edited))
            for segment, word, is_edited in zip(segments, pairs.words(i), marks, strict=True)
        ]
        for i, (term, others, segments, marks) in enumerate(
            zip(
                terms,
                (set(tokenize(query)) for query in pairs.query),
                pairs.segment.tolist(),
                edited.tolist(),
                strict=True,
            )
        )
    ]
    return torch.tensor(rows)


def role_of(segment: Segment, word: str, term: str, query: Collection[str], is_edited: bool) -> str:
    """The role of one token, by the word it belongs to."""
    if segment in BY_SEGMENT:
        return BY_SEGMENT[segment]
    word = word.strip().lower()
    if segment == Segment.QUERY:
        return "Q+" if word == term else "Q-"
    if is_edited:
        return "D_inj"
    if word == term:
        return "D+"
    return "D-" if word in query else "D_other"
