"""Edits of the embeddings of words where they stand in the texts, in whatever pieces.

`edit.py` edits tokens of the vocabulary. A word such as "canoe" may be the pieces "can" and
"##oe", and the first of them is a word of its own: here the pieces are edited where they spell
the word, and nowhere else.
"""

import re
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..hooks import Hook
from ..pairs import Pairs, Segment
from ..sites import Names, Site


Edit = Callable[[Sequence[int]], Hook]  # of token ids: the functions of `edit.py`, or their like


def edit_words(words: Sequence[str], edit: Edit, *, pos: Names | None = None) -> Hook:
    """`edit` of the tokens of `words`, where these stand as whole words, in upper or lower case.

    `edit` is given the ids of the tokens that the texts have there, as in
    `edit_words(["canoe"], lambda token: scale_rows(token, 3.0), pos="document")`.
    """

    def rewrite(
        carried: Float[Tensor, "pair pos d_embed"], pairs: Pairs
    ) -> Float[Tensor, "pair pos d_embed"]:
        where = occurrences(pairs, words)
        ids = pairs.token[where].unique().tolist()
        if not ids:
            return carried
        edited = edit(ids).edit(carried, pairs)
        return torch.where(where[:, :, None].to(carried.device), edited, carried)

    unit = Site("embed").at(**({} if pos is None else {"pos": pos}))
    return Hook(unit, rewrite, sees_pairs=True)


def occurrences(pairs: Pairs, words: Sequence[str]) -> Bool[Tensor, "pair pos"]:
    """The tokens that lie inside of one of these words, in query or document."""
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)", re.IGNORECASE)
    found = torch.zeros_like(pairs.token, dtype=torch.bool)
    for segment, texts in ((Segment.QUERY, pairs.query), (Segment.DOCUMENT, pairs.document)):
        for i, text in enumerate(texts):
            for match in pattern.finditer(text):
                start, end = pairs.span[i].unbind(dim=-1)
                inside = (start >= match.start()) & (end <= match.end()) & (end > start)
                found[i] |= inside & (pairs.segment[i] == int(segment))
    return found
