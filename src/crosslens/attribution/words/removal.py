"""Leave-one-out: what the score loses with each word, exactly.

    effect(word) = F(pair) - F(pair without the word)

A word is *deleted*: all its tokens go, and what stands behind moves up, as if the text had
been written without it. Or it is *hidden* by a token mask: it stays in its place, and no token
reads it in any layer (Zhan et al., 2020, eq. 2). The difference between the two is what the word
does by pushing others back.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...batching.batch_size import BatchSize
from ...batching.batches import liked, scores_of
from ...hooks import Hook, Hooked
from ...interventions.mask import token_mask
from ...pairs import Pairs, Segment
from .word_attribution import to_tokens, WordAttribution, words_of


Rows = list[tuple[int, list[int]]]  # a pair, and the places of one of its words
Scorer = Callable[[Pairs], Float[Tensor, " pair"]]


def leave_one_out(
    model: Scorer,
    pairs: Pairs,
    *,
    among: Bool[Tensor, "pair pos"] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> WordAttribution:
    """The fall of the score when each word of query and document is deleted, in score units.

    One plain forward row per word. All tokens of a word hold its number; special tokens, which
    are never deleted, hold 0. `progress(done, total)` counts words.

    Args:
        model: anything that scores pairs by the tokens they have, BM25 among them.
        among: only words with one of these tokens are deleted; by default all.
    """
    rows = [
        (i, tokens) for i, tokens in _words(pairs) if among is None or bool(among[i, tokens].any())
    ]

    def scored(chosen: Rows) -> Float[Tensor, " row"]:
        some = pairs.take([i for i, _ in chosen], width=pairs.token.shape[1])
        return scores_of(model, without(some, _marked(some, chosen)))

    return _effects("leave-one-out", model, pairs, rows, scored, progress)


def hide_one_out(
    model: Hooked, pairs: Pairs, *, progress: Callable[[int, int], None] | None = None
) -> WordAttribution:
    """The fall of the score when each word is hidden from all tokens in all layers.

    As `leave_one_out`, but every other token keeps its position. A decoder step does not read
    the word either; where the score reads the mean of all rows, the word's own stays in it.
    """
    rows = _words(pairs)
    crossed = [site for site in model.sites() if site.name == "cross_attn_scores"]

    def scored(chosen: Rows) -> Float[Tensor, " row"]:
        some = pairs.take([i for i, _ in chosen], width=pairs.token.shape[1])
        src = _marked(some, chosen)[:, None, :]
        blocked = src.expand(-1, src.shape[-1], -1)
        layers = [site.layer for site in model.sites("attn_scores")]
        hooks = [token_mask(layer, blocked=blocked) for layer in layers if layer is not None]

        def unread(scores: Float[Tensor, "pair head step src"]) -> Tensor:
            return scores.masked_fill(src[:, None], torch.finfo(scores.dtype).min)

        hooks += [Hook(site.at(), unread) for site in crossed]
        with torch.no_grad(), model.hooked(*hooks):
            return model(some)

    return _effects("hide-one-out", model, pairs, rows, scored, progress)


def without(pairs: Pairs, removed: Bool[Tensor, "pair pos"]) -> Pairs:
    """The same pairs with some tokens deleted; positions of those behind move up.

    Texts, words and spans stay those of the whole pair, so that every token that is left still
    knows where it came from.

    Raises:
        ValueError: a token that is neither of the query nor of the document would go.
    """
    special = removed & pairs.attended & ~pairs.where("query", "document")
    if special.any():
        i, place = special.nonzero()[0].tolist()
        raise ValueError(
            f"token {place} of pair {i} is {pairs.words(i)[place]}: only tokens of the query and "
            "the document can be deleted"
        )
    return pairs.only(~removed)


def _words(pairs: Pairs) -> Rows:
    """Every word of query and document."""
    return [
        (i, tokens)
        for i in range(len(pairs))
        for segment, _, tokens in words_of(pairs, i)
        if segment in (Segment.QUERY, Segment.DOCUMENT)
    ]


def _marked(some: Pairs, rows: Rows) -> Bool[Tensor, "pair pos"]:
    """The tokens of each row's word."""
    marked = torch.zeros_like(some.token, dtype=torch.bool)
    for row, (_, tokens) in enumerate(rows):
        marked[row, tokens] = True
    return marked


def _effects(
    name: str,
    model: Scorer,
    pairs: Pairs,
    rows: Rows,
    scored: Callable[[Rows], Float[Tensor, " row"]],
    progress: Callable[[int, int], None] | None,
) -> WordAttribution:
    """The fall of the score with each of `rows`, batches of like length together."""
    whole = scores_of(model, pairs)
    lengths = pairs.lengths.tolist()
    values: list[dict[tuple[int, ...], float]] = [{} for _ in range(len(pairs))]
    queue = sorted(rows, key=lambda row: lengths[row[0]], reverse=True)  # the longest sets the size
    while queue:
        longest = lengths[queue[0][0]]
        n = liked(longest, pairs.device.type)
        size = BatchSize(n, tokens=longest)
        for batch, scores in size.batches(lambda some: scored(list(some)), queue[:n]):
            found = (whole[[i for i, _ in batch]] - scores).tolist()
            for (i, tokens), value in zip(batch, found, strict=True):
                values[i][tuple(tokens)] = value
        queue = queue[n:]
        if progress is not None:
            progress(sum(map(len, values)), len(rows))
    return WordAttribution(name, pairs, to_tokens(pairs, values).to(whole.dtype), is_additive=False)
