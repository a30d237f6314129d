"""Which words of the query are matched in the passage, and which heads carry the matches.

A word is matched exactly where the passage holds the same term, and softly where a word of the
passage is closer to it in the model's word embeddings than all but one in a thousand pairs of
random tokens are. What a match is worth is measured: the two words are hidden from each other, in
all heads or in one, and the score is computed anew.

    effect(match)       = F(pair) - F(the two cannot read each other, in any head of any layer)
    effect(match, head) = F(pair) - F(the two cannot read each other in this head)
"""

from typing import Final, NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional as F

from ..engine.sweep import sweep
from ..frames import Frame, pd
from ..hooks import Hook
from ..interventions.mask import token_mask
from ..interventions.unit_names import index_of, layer_of, written
from ..model.encoder import CrossEncoder
from ..pairs import Pairs, Segment
from ..signals.frequency import tokenize
from ..sites import Unit
from .edited_texts import Word, words_in


RANDOM_PAIRS: Final = 20_000
SOFT: Final = 0.999  # the quantile of random pairs above which words are close in meaning
HEADS: Final = 5  # that are shown


class Match(NamedTuple):
    """A word of the query and the words of the passage that match it."""

    query: Word
    passage: tuple[Word, ...]
    kind: str  # exact, soft
    similarity: float  # of the embeddings, -1 to 1; 1 for the same term


class MatchedTerms(NamedTuple):
    """What is matched, and through which heads."""

    terms: Frame  # term, matches, kind, similarity, count, effect
    heads: Frame  # head, effect (of all matches together), and a column per term
    effect: float  # of all matches together, in all heads


@torch.no_grad()
def matched_terms(model: CrossEncoder, pairs: Pairs) -> MatchedTerms:
    """The matches of one pair, and their exact effects in score units."""
    found = matches(model, pairs)
    columns = ["term", "matches", "kind", "similarity", "count", "effect"]
    if not found:
        return MatchedTerms(pd.DataFrame(columns=columns), pd.DataFrame({"head": []}), 0.0)
    blocked = [between(pairs, match) for match in found]
    everything = torch.stack(blocked).any(dim=0)
    layers = range(model.cfg.n_layers)
    heads = model.heads()

    whole = [
        [token_mask(layer, blocked=cells) for layer in layers] for cells in (everything, *blocked)
    ]
    alone = [[_hidden_in(unit, everything)] for unit in heads]
    score = model(pairs)
    effects = (score - sweep(model, pairs, [*whole, *alone]))[:, 0].tolist()
    together, by_term, by_head = effects[0], effects[1 : len(whole)], effects[len(whole) :]

    best = sorted(range(len(heads)), key=lambda i: -abs(by_head[i]))[:HEADS]
    cells = [[_hidden_in(heads[i], each)] for i in best for each in blocked]
    each_head = (score - sweep(model, pairs, cells))[:, 0].reshape(len(best), len(blocked))
    terms = pd.DataFrame(
        [
            (m.query.text, ", ".join(_distinct(m)), m.kind, m.similarity, len(m.passage), effect)
            for m, effect in zip(found, by_term, strict=True)
        ],
        columns=columns,
    )
    table = pd.DataFrame({"head": [written(heads[i]) for i in best]})
    table["effect"] = [by_head[i] for i in best]
    for place, match in enumerate(found):
        table[f"{place}:{match.query.text}"] = each_head[:, place].tolist()
    return MatchedTerms(terms, table, together)


def matches(model: CrossEncoder, pairs: Pairs) -> list[Match]:
    """Every matched word of the query: exactly where there is one, else softly, else left out."""
    query, passage = (
        [word for word in words_in(pairs, 0, segment) if word.is_word]
        for segment in (Segment.QUERY, Segment.DOCUMENT)
    )
    if not query or not passage:
        return []
    least = close(model)
    vectors = {
        word: F.normalize(model.W_E[pairs.token[0, list(word.tokens)]].float().mean(0), dim=0)
        for word in (*query, *passage)
    }
    found = []
    for word in query:
        same = tuple(each for each in passage if tokenize(each.text) == tokenize(word.text))
        if same:
            found.append(Match(word, same, "exact", 1.0))
            continue
        likeness = [float(vectors[word] @ vectors[each]) for each in passage]
        near = max(range(len(passage)), key=likeness.__getitem__)
        if likeness[near] > least:
            term = tokenize(passage[near].text)
            alike = tuple(each for each in passage if tokenize(each.text) == term)
            found.append(Match(word, alike, "soft", likeness[near]))
    return found


def close(model: CrossEncoder) -> float:
    """The cosine that one in a thousand pairs of random tokens exceeds."""
    draw = torch.Generator().manual_seed(0)
    n = len(model.W_E)
    one, other = (
        torch.randint(n, (RANDOM_PAIRS,), generator=draw).to(model.device) for _ in range(2)
    )
    apart = one != other
    cosine = F.cosine_similarity(model.W_E[one].float(), model.W_E[other].float(), dim=1)
    return float(cosine[apart].quantile(SOFT))


def between(pairs: Pairs, match: Match) -> Bool[Tensor, "pair dst src"]:
    """Where the two sides of a match would read each other, either way."""
    width = pairs.token.shape[1]
    cells = torch.zeros(1, width, width, dtype=torch.bool, device=pairs.device)
    query = list(match.query.tokens)
    passage = [token for word in match.passage for token in word.tokens]
    for dst, src in ((query, passage), (passage, query)):
        cells[0, torch.tensor(dst)[:, None], torch.tensor(src)] = True
    return cells


def _hidden_in(unit: Unit, cells: Bool[Tensor, "pair dst src"]) -> Hook:
    return token_mask(layer_of(unit), blocked=cells, head=index_of(unit))


def _distinct(match: Match) -> list[str]:
    return list(dict.fromkeys(word.text for word in match.passage))
