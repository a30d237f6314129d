"""Edits of the embeddings of words where they stand in the texts, in whatever pieces.

`edit.py` edits tokens of the vocabulary. A word such as "canoe" may be the pieces "can" and
"##oe", and the first of them is a word of its own: here the pieces are edited where they spell
the word, and nowhere else.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..hooks import Hook
from ..pairs import Pairs, Segment
from ..signals.frequency import term, tokenize, WORD
from ..sites import Names, Site


Edit = Callable[[Sequence[int]], Hook]  # of token ids: the functions of `edit.py`, or their like


def edit_words(words: Sequence[str], edit: Edit, *, pos: Names | None = None) -> Hook:
    """`edit` of the tokens of `words`, where these stand as whole words, in upper or lower case.

    `edit` is given the ids of the tokens that the texts have there, as in
    `edit_words(["canoe"], lambda token: scale_rows(token, 3.0), pos="document")`. Words are those
    of `crosslens.tokenize`: accents match however they are encoded.

    Raises:
        ValueError: a text without a letter or digit, which is no word.
    """
    for word in words:
        if not tokenize(word):
            raise ValueError(f"{word!r} is no word: it has no letter and no digit")

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
    sought = [tokenize(word) for word in words]
    found = torch.zeros_like(pairs.token, dtype=torch.bool)
    for segment, texts in ((Segment.QUERY, pairs.query), (Segment.DOCUMENT, pairs.document)):
        for i, text in enumerate(texts):
            start, end = pairs.span[i].unbind(dim=-1)
            for first, last in places(text, sought):
                inside = (start >= first) & (end <= last) & (end > start)
                found[i] |= inside & (pairs.segment[i] == int(segment))
    return found


def places(text: str, sought: Sequence[Sequence[str]]) -> Iterator[tuple[int, int]]:
    """From where to where each run of terms stands in a text, in characters."""
    matches = list(WORD.finditer(text))
    terms = [term(match[0]) for match in matches]
    for run in sought:
        for i in range(len(terms) - len(run) + 1):
            if terms[i : i + len(run)] == list(run):
                yield matches[i].start(), matches[i + len(run) - 1].end()
