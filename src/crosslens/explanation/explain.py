"""Why a reranker puts one passage above another, and what would change it."""

from collections.abc import Callable, Sequence

import torch

from ..frames import Frame
from ..model.encoder import CrossEncoder
from ..model.tokens import texts_of
from ..pairs import Pairs, Segment
from .edited_texts import words_in
from .explanation import Details, Explanation, Passage
from .layers import score_by_layer
from .matched_terms import matched_terms
from .text_scores import TextScores
from .turning import addition, offered_words, removal, SAME, Turn
from .word_effects import word_effects


Progress = Callable[[str, int, int], None]  # the step, how much of it is done, how much there is


def explain(
    model: CrossEncoder,
    query: str,
    *passages: str,
    details: int = 2,
    budget: int = 150,
    progress: Progress = lambda step, done, total: None,
) -> Explanation:
    """The ranking of `passages` for `query`, and why the first stands above the second.

    For each of the first `details` passages: the exact effect of every word on the score, beside
    two estimates; matched terms and the heads that carry them; the layer that decides. Then what
    separates the first two, and the fewest words removed from the first, or added to the second,
    that turn their order: `budget` texts are scored for each at most.

    Effects are in score units: of the logit, before the model's activation.

    Raises:
        TypeError: something given is no text.
        ValueError: no passage, an empty text, a negative number of `details`, or no budget.
    """
    if not passages:
        raise ValueError("no passage to explain: give a query and at least one passage")
    if details < 0 or budget < 1:
        raise ValueError(
            f"details={details} and budget={budget}: give 0 or more passages to take apart, and "
            "at least one text to score"
        )
    texts = texts_of("document", passages)
    if empty := [str(i) for i, text in enumerate(texts, start=1) if not text.strip()]:
        raise ValueError(f"passage {', '.join(empty)} as given is empty: there is nothing to score")
    distinct = list(dict.fromkeys(texts))
    pairs = model.pair(query, *distinct)
    known = TextScores(model)
    scores = known([(query, text) for text in distinct])
    activated = model.activated(torch.tensor(scores, dtype=torch.float64)).tolist()
    order = sorted(range(len(distinct)), key=lambda i: -scores[i])
    ordered = [pairs.take([i]) for i in order]
    found = []
    for rank, i in enumerate(order):
        is_taken = rank < details
        if is_taken:
            progress("Explaining", rank, min(details, len(order)))
        found.append(
            Passage(
                text=distinct[i],
                given=texts.index(distinct[i]),
                score=scores[i],
                activated=activated[i],
                n_tokens=int(pairs.lengths[i]),
                n_cut=int(pairs.cut[i]),
                details=taken_apart(known, ordered[rank]) if is_taken else None,
            )
        )
    turns: tuple[Turn, ...] = ()
    apart = None
    if len(found) > 1:
        progress("Turning the order", 0, 1)
        words = [
            word_effects(known, pair).words if each.details is None else each.details.words
            for each, pair in zip(found[:2], ordered, strict=False)
        ]
        apart = separating(*words)
        if found[0].score - found[1].score > SAME:
            turns = turned(known, query, found, ordered[0], words[0], budget)
        progress("Turning the order", 1, 1)
    return Explanation(
        query=query,
        model=model.cfg.checkpoint,
        activation=type(model.activation).__name__,
        passages=tuple(found),
        apart=apart,
        turns=turns,
        notes=tuple(notes(texts, found)),
    )


def taken_apart(scores: TextScores, pairs: Pairs) -> Details:
    """Everything about one pair."""
    words, agreement = word_effects(scores, pairs)
    terms, heads, matched = matched_terms(scores.model, pairs)
    layers = score_by_layer(scores.model, pairs)
    return Details(words, agreement, terms, heads, matched, layers)


def separating(first: Frame, second: Frame) -> Frame:
    """What each word of the query does for the first passage, for the second, and the difference.

    In score units; a word that separates the two does more for the first.
    """
    one, other = (
        words[words["segment"] == "query"].set_index("start")[["text", "effect"]]
        for words in (first, second)
    )
    both = one.join(other["effect"].rename("second"), how="inner")
    both = both.rename(columns={"effect": "first"}).reset_index(drop=True)
    both["difference"] = both["first"] - both["second"]
    return both


def turned(
    scores: TextScores,
    query: str,
    ranked: Sequence[Passage],
    pair: Pairs,
    words: Frame,
    budget: int,
) -> tuple[Turn, Turn]:
    """What turns the order of the first two: removed from the first, added to the second."""
    first, second = ranked[:2]
    fewer = removal(
        scores,
        query,
        (first.text, first.score),
        second.score,
        words_in(pair, 0, Segment.DOCUMENT),
        budget,
    )
    offered = offered_words(words_in(pair, 0, Segment.QUERY), words, second.text)
    more = addition(scores, query, (second.text, second.score), first.score, offered, budget)
    return fewer, more


def notes(texts: Sequence[str], passages: Sequence[Passage]) -> list[str]:
    """What a reader has to know besides: texts given twice, cut or alike in score."""
    found = []
    twice = [i for i, text in enumerate(texts) if texts.index(text) != i]
    if twice:
        places = ", ".join(str(i + 1) for i in twice)
        found.append(f"Shown once, as the same text was given before: number {places} as given.")
    for rank, passage in enumerate(passages, start=1):
        if passage.n_cut:
            found.append(
                f"Passage {rank} is longer than the model reads: {passage.n_cut} tokens of the "
                "pair are cut away, and have no effect."
            )
        if passage.details is not None and passage.details.n_skipped:
            found.append(
                f"Of passage {rank}, {passage.details.n_skipped} words were not deleted, those "
                "with the smallest integrated gradients."
            )
    if len(passages) > 1 and passages[0].score - passages[1].score <= SAME:
        found.append("The first two have the same score: there is no order to turn.")
    return found
