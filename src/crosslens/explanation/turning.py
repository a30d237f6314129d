"""The smallest change of words that turns a ranking of two passages.

Fewest words removed from the first, or added to the second, so that the second scores higher.
Every text that is considered is scored as it would be written. All single words are tried; then
sets grow from the best of the size before (a beam search), until one turns the ranking or the
budget is spent. A size of which every set fits into the budget is tried whole, so that the answer
is known to be the fewest where all smaller sizes were.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from ..frames import Frame
from ..signals.frequency import tokenize
from .edited_texts import text_with, text_without, Word
from .text_scores import TextScores


BEAM: Final = 4  # sets of each size that grow further
WIDE: Final = 10  # words by which each grows: those that do most alone
MOST_WORDS: Final = 6
SAME: Final = 1e-4  # scores no further apart may be one score, rounded in another batch
CANDIDATES: Final = 12  # words of the first passage that are offered to the second

Choice = tuple[int, ...]  # which of the offered words are removed or added


@dataclass(frozen=True)
class Turn:
    """The fewest words found whose removal or addition turns the order, or that none was found."""

    kind: str  # "remove" from the first passage, "add" to the second
    words: tuple[str, ...]  # none: not found
    text: str  # the changed passage; as it was if none was found
    spans: tuple[tuple[int, int], ...]  # of the removed words, in the passage as it was
    before: float  # the score of the changed passage, before and after
    after: float
    other: float  # the score of the passage that stayed as it is
    n_scored: int  # texts that were scored to find it
    is_fewest: bool  # whether every smaller set of the offered words was tried

    @property
    def is_found(self) -> bool:
        return bool(self.words)


@dataclass(frozen=True)
class Found:
    """A set of words that turns the ranking, if any; and the score with it."""

    choice: Choice | None
    score: float
    n_scored: int
    is_fewest: bool  # every smaller set was tried


def removal(
    scores: TextScores,
    query: str,
    first: tuple[str, float],
    other: float,
    words: Sequence[Word],
    budget: int,
) -> Turn:
    """The fewest words without which the `first` passage (text, score) falls below `other`."""
    text, score = first
    offered = [word for word in words if word.is_word]

    def spans(choice: Choice) -> tuple[tuple[int, int], ...]:
        return tuple((offered[i].start, offered[i].end) for i in sorted(choice))

    def write(choice: Choice) -> str:
        return text_without(text, spans(choice))

    found = fewest(scores, query, len(offered), write, lambda s: other - s, budget)
    chosen = found.choice or ()
    return Turn(
        "remove",
        tuple(offered[i].text for i in sorted(chosen)),
        write(chosen) if chosen else text,
        spans(chosen),
        score,
        found.score if chosen else score,
        other,
        found.n_scored,
        found.is_fewest,
    )


def addition(
    scores: TextScores,
    query: str,
    second: tuple[str, float],
    other: float,
    offered: Sequence[str],
    budget: int,
) -> Turn:
    """The fewest of the `offered` words with which the `second` passage rises above `other`.

    They stand before its first word or after its last.
    """
    text, score = second
    at = [(word, at_end) for at_end in (False, True) for word in offered]

    def write(choice: Choice) -> str:
        before, after = (
            [at[i][0] for i in choice if at[i][1] == at_end] for at_end in (False, True)
        )
        return text_with(text, before, after)

    found = fewest(scores, query, len(at), write, lambda s: s - other, budget)
    chosen = found.choice or ()
    return Turn(
        "add",
        tuple(at[i][0] for i in chosen),
        write(chosen) if chosen else text,
        (),
        score,
        found.score if chosen else score,
        other,
        found.n_scored,
        found.is_fewest,
    )


def offered_words(query: Sequence[Word], first: Frame, second: str) -> list[str]:
    """Words that might lift the second passage: the query's, and those that carry the first.

    `first` has the words of the first passage with their effects. The words that the second
    passage lacks come first.
    """
    carrying = first[(first["segment"] == "document") & (first["effect"] > 0)]
    carrying = carrying.sort_values("effect", ascending=False)["text"].tolist()
    words = [word.text for word in query if word.is_word]
    words += [word for word in carrying if any(map(str.isalnum, word))]
    by_term = {tuple(tokenize(word)): word for word in reversed(words)}
    there = set(tokenize(second))
    distinct = [by_term[key] for key in dict.fromkeys(tuple(tokenize(word)) for word in words)]
    return sorted(distinct, key=lambda word: set(tokenize(word)) <= there)[:CANDIDATES]


def fewest(
    scores: TextScores,
    query: str,
    n: int,
    write: Callable[[Choice], str],
    gain: Callable[[float], float],
    budget: int,
) -> Found:
    """The smallest set of `n` choices found whose text's score gains more than `SAME`."""
    before = len(scores)

    def score(choices: Sequence[Choice]) -> dict[Choice, float]:
        rows = {choice: (query, write(choice)) for choice in choices}
        rows = {choice: row for choice, row in rows.items() if row[1]}
        beyond = set(scores.unknown(list(rows.values()))[budget - len(scores) + before :])
        rows = {choice: row for choice, row in rows.items() if row not in beyond}
        return dict(zip(rows, scores(list(rows.values())), strict=True))

    beam: list[Choice] = [()]
    grow = list(range(n))
    all_tried = True  # every set of the sizes before
    for size in range(1, min(MOST_WORDS, n) + 1):
        left = budget - len(scores) + before
        is_whole = all_tried and math.comb(n, size) <= max(left, n)
        larger = (
            list(combinations(range(n), size))
            if is_whole
            else sorted({tuple(sorted({*old, i})) for old in beam for i in grow if i not in old})
        )
        values = score(larger)
        best = sorted(values, key=lambda choice: (-gain(values[choice]), choice))
        if best and gain(values[best[0]]) > SAME:
            return Found(best[0], values[best[0]], len(scores) - before, all_tried)
        if not best or len(scores) - before >= budget:
            break
        all_tried = is_whole and len(values) == len(larger)
        if size == 1:
            grow = [choice[0] for choice in best[:WIDE]]
        beam = best[:BEAM]
    return Found(None, float("nan"), len(scores) - before, False)
