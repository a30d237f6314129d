"""Token roles: what part a token plays in a contrast, the same on both of its sides.

The classes by which Lu et al. (2025, section 2) add up effects over positions. A token belongs
to a word if it covers any of its letters; words are those of `signals.tokenize`, so that a
role says the same for every tokenizer.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from ..pairs import Pairs, Segment
from ..signals.frequency import tokenize
from .edits import occurrences, Span


ROLES: Final = {
    "[CLS]": "the first token, whose state is scored (in a decoder that of the last token is)",
    "Q+": "the selected term in the query",
    "Q-": "the other tokens of the query",
    "[SEP]1": "the separator after the query",
    "D_inj": "the edited tokens: the two sides differ here and nowhere else",
    "D+": "other occurrences of the selected term in the document",
    "D-": "occurrences of other query terms in the document, stop words among them",
    "D_other": "the rest of the document",
    "[SEP]2": "the separator after the document",
    "[PAD]": "padding",
    "[TEMPLATE]": "the words of the prompt around the two texts; the last of them is scored",
    "[INSTRUCTION]": "by what the prompt says the model is to judge",
}
NAMES: Final = tuple(ROLES)
ASIDE: Final = {"[PAD]", "[TEMPLATE]", "[INSTRUCTION]"}
OF_TEXTS: Final = tuple(name for name in NAMES if name not in ASIDE)
BY_SEGMENT: Final = {
    Segment.CLS: "[CLS]",
    Segment.QUERY: "Q-",
    Segment.SEP1: "[SEP]1",
    Segment.DOCUMENT: "D_other",
    Segment.SEP2: "[SEP]2",
    Segment.PAD: "[PAD]",
    Segment.TEMPLATE: "[TEMPLATE]",
    Segment.INSTRUCTION: "[INSTRUCTION]",
}


def roles(
    pairs: Pairs, terms: Sequence[str], edited: Bool[Tensor, "pair pos"]
) -> Int[Tensor, "pair pos"]:
    """The role of every token, as an index into `NAMES`, given each pair's selected term."""
    role = torch.zeros_like(pairs.token)
    for segment, name in BY_SEGMENT.items():
        role[pairs.segment == segment] = NAMES.index(name)
    for i, term in enumerate(terms):
        others = set(tokenize(pairs.query[i])) - {*tokenize(term)}
        query, document = pairs.query[i], pairs.document[i]
        for name, segment, spans in (
            ("Q+", Segment.QUERY, occurrences(query, [term])),
            ("D-", Segment.DOCUMENT, occurrences(document, others)),
            ("D+", Segment.DOCUMENT, occurrences(document, [term])),
        ):
            role[i, covering(pairs, i, segment, spans)] = NAMES.index(name)
    role[edited] = NAMES.index("D_inj")
    return role


def covering(pairs: Pairs, i: int, segment: Segment, spans: Iterable[Span]) -> Bool[Tensor, " pos"]:
    """The tokens of one text of pair `i` that cover any character of `spans`.

    A token that is but the space before a word has an empty span where the word begins, and
    belongs to it.
    """
    start, end = pairs.span[i].unbind(dim=-1)
    found = torch.zeros_like(pairs.token[i], dtype=torch.bool)
    for first, last in spans:
        found |= (start < last) & ((end > first) | (start == end) & (start >= first))
    return found & (pairs.segment[i] == segment)
