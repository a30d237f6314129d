"""What each word of a pair does for its score, exactly, beside two estimates from slopes.

    effect(word) = F(query, passage) - F(the same without the word)

The text without the word is written, cut into tokens and scored anew, so that the number is what
anybody gets who deletes the word: in a passage that is longer than the model reads, what follows
moves in.
"""

from typing import Final, NamedTuple

import numpy as np

from ..attribution.words.gradients import gradient_times_input, integrated_gradients
from ..frames import Frame, pd
from ..model.encoder import CrossEncoder
from ..pairs import Pairs, Segment
from ..stats import spearman
from .edited_texts import text_without, Word, words_in
from .text_scores import TextScores


MOST: Final = 200  # words of a passage that are deleted one by one
STEPS: Final = 8  # of integrated gradients
ESTIMATES: Final = ("gradient_x_input", "integrated_gradients")
SEGMENTS: Final = (Segment.QUERY, Segment.DOCUMENT)


class WordEffects(NamedTuple):
    """A row per word, and how well the estimates order the words of this pair."""

    words: Frame  # segment, text, start, end, effect, and a column for each of `ESTIMATES`
    agreement: dict[str, float]  # Spearman's rho of each estimate with the effect, nan if undefined


def word_effects(scores: TextScores, pairs: Pairs, *, most: int = MOST) -> WordEffects:
    """The effect of every word of the query and the passage of one pair, in score units.

    Of a long passage the `most` words with the largest integrated gradients are deleted, the
    others have no effect (nan); nor has the only word of a text, which cannot be deleted.
    """
    words = [(segment, word) for segment in SEGMENTS for word in words_in(pairs, 0, segment)]
    estimates = estimated(scores.model, pairs, [word for _, word in words])
    size = np.abs(estimates["integrated_gradients"])
    of_passage = [i for i, (segment, _) in enumerate(words) if segment == Segment.DOCUMENT]
    skipped = sorted(of_passage, key=lambda i: -size[i])[most:]
    chosen = [i for i in range(len(words)) if i not in set(skipped)]
    effects = np.full(len(words), np.nan)
    effects[chosen] = removed(scores, pairs, [words[i] for i in chosen])
    table: Frame = pd.DataFrame(
        {
            "segment": [segment.name.lower() for segment, _ in words],
            "text": [word.text for _, word in words],
            "start": [word.start for _, word in words],
            "end": [word.end for _, word in words],
            "effect": effects,
            **estimates,
        }
    )
    return WordEffects(table, {name: agreement(table, name) for name in ESTIMATES})


def removed(scores: TextScores, pairs: Pairs, words: list[tuple[Segment, Word]]) -> list[float]:
    """The fall of the score when the text is written without each word."""
    query, document = pairs.query[0], pairs.document[0]
    rows = []
    for segment, word in words:
        span = [(word.start, word.end)]
        row = (
            (text_without(query, span), document)
            if segment == Segment.QUERY
            else (query, text_without(document, span))
        )
        rows.append(row if all(row) else None)
    there = [row for row in rows if row is not None]
    whole, *changed = scores([(query, document), *there])
    found = iter(changed)
    return [float("nan") if row is None else whole - next(found) for row in rows]


def estimated(model: CrossEncoder, pairs: Pairs, words: list[Word]) -> dict[str, list[float]]:
    """The same by two estimates from slopes, summed over the tokens of each word."""
    by_token = {
        "gradient_x_input": gradient_times_input(model, pairs).token[0],
        "integrated_gradients": integrated_gradients(model, pairs, steps=STEPS).token[0],
    }
    return {
        name: [token[list(word.tokens)].sum().item() for word in words]
        for name, token in by_token.items()
    }


def agreement(words: Frame, name: str) -> float:
    """How an estimate and the exact effects order the words; nan where one has no order."""
    there = words[words["effect"].notna()]
    if there["effect"].nunique() < 2 or there[name].nunique() < 2:
        return float("nan")
    return spearman(there["effect"].to_numpy(float), there[name].to_numpy(float))
