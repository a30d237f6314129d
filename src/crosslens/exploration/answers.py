"""What the page asks of a model, and the answers as plain data.

The state of the page is a mapping: `query`, `passages`, and `interventions`, lines as
`crosslens.interventions.named` reads them. Every answer is computed from the state alone.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

from ..explanation.edited_texts import words_in
from ..explanation.text_scores import TextScores
from ..explanation.word_effects import removed
from ..hooks import Hook
from ..interventions.named import Intervention, named
from ..model.encoder import CrossEncoder
from ..pairs import NOT_A_WORD, Pairs, Segment
from ..sites import Site


MOST: Final = 50  # passages
LONGEST: Final = 20_000  # characters of a text
TEXTS: Final = ("query", "passages", "interventions")


class Answers:
    """The answers of one model; scores that were computed for the present edits are kept."""

    def __init__(self, model: CrossEncoder):
        self._model = model
        self._plain = TextScores(model)
        self._lines: tuple[str, ...] = ()
        self._edited = TextScores(model)

    def __call__(self, kind: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one question: "model", "scores", "attention", "compare" or "code".

        Raises:
            ValueError: what was asked cannot be answered; says why.
            LookupError: the same, of a layer, head or passage that is not there.
        """
        known = {
            "model": self.model,
            "scores": self.scores,
            "attention": self.attention,
            "compare": self.compare,
            "code": self.code,
        }
        if kind not in known:
            raise LookupError(f"no question is called {kind!r}; it is one of {', '.join(known)}")
        return known[kind](checked(asked))

    def model(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What the model is: its name, layers, heads and activation."""
        c = self._model.cfg
        return {
            "name": c.checkpoint,
            "layers": c.n_layers,
            "heads": c.n_heads,
            "activation": type(self._model.activation).__name__,
        }

    def scores(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Of every passage the score, the score under the interventions, and its tokens.

        None where there is no text yet.
        """
        query, passages = asked["query"], asked["passages"]
        there = [i for i, text in enumerate(passages) if query.strip() and text.strip()]
        plain: list[float | None] = [None] * len(passages)
        edited: list[float | None] = [None] * len(passages)
        activated: list[float | None] = [None] * len(passages)
        tokens: list[Any] = [None] * len(passages)
        if there:
            interventions = self._interventions(asked)
            rows = [(query, passages[i]) for i in there]
            found = self._plain(rows)
            changed = found if not interventions else self._under(interventions, rows)
            pairs = self._model.pair(query, *(passages[i] for i in there))
            after = self._model.activated(torch.tensor(changed)).tolist()
            for place, i in enumerate(there):
                plain[i], edited[i] = found[place], changed[place]
                activated[i] = after[place]
                tokens[i] = shown(pairs, place)
        return {
            "plain": plain,
            "edited": edited,
            "tokens": tokens,
            "activated": activated,
        }

    def attention(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The attention of one head, or the mean of a layer's heads, within one pair.

        `pattern` is [dst][src], each row shares that add up to 1, under the interventions.

        Raises:
            LookupError: the model has no such layer or head.
        """
        c, layer, head = self._model.cfg, asked.get("layer", 0), asked.get("head")
        if not isinstance(layer, int) or not 0 <= layer < c.n_layers:
            raise LookupError(f"layer {layer!r}: the model has layers 0 to {c.n_layers - 1}")
        if head is not None and not (isinstance(head, int) and 0 <= head < c.n_heads):
            raise LookupError(f"head {head!r}: the model has heads 0 to {c.n_heads - 1}")
        pairs = self._model.pair(asked["query"], self._passage(asked, "passage"))
        site = Site("pattern", layer)
        hooks = self._hooks(self._interventions(asked))
        with torch.no_grad(), self._model.hooked(*hooks), self._model.record(site) as cache:
            self._model(pairs)
        pattern = cache[site][0].float()
        chosen = pattern.mean(dim=0) if head is None else pattern[head]
        return {"tokens": shown(pairs, 0), "pattern": chosen.mul(1e4).round().div(1e4).tolist()}

    def compare(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What each word of the query does for one passage and for another, in score units.

        The fall of both scores when the word is deleted from the query, without interventions.
        """
        pairs = [
            self._model.pair(asked["query"], self._passage(asked, name))
            for name in ("first", "second")
        ]
        words = words_in(pairs[0], 0, Segment.QUERY)
        of_query = [(Segment.QUERY, word) for word in words]
        first, second = (removed(self._plain, each, of_query) for each in pairs)
        rows = [
            {"word": word.text, "first": one, "second": other}
            for word, one, other in zip(words, first, second, strict=True)
            if not math.isnan(one)  # the only word of the query cannot be deleted
        ]
        return {"words": rows}

    def code(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The Python that scores what the page shows."""
        interventions = self._interventions(asked)
        passages = [text for text in asked["passages"] if text.strip()]
        lines = ["from crosslens import load"]
        if interventions:
            lines.append("from crosslens.interventions import named")
        lines += ["", f"model = load({self._model.cfg.checkpoint!r})"]
        lines += ["pairs = model.pair(", f"    {asked['query']!r},"]
        lines += [f"    {text!r}," for text in passages]
        lines.append(")")
        if interventions:
            lines += ["edits = [", *(f"    {str(each)!r}," for each in interventions), "]"]
            lines.append("hooks = [hook for line in edits for hook in named(line).hooks(model)]")
            lines += ["with model.hooked(*hooks):", "    print(model(pairs))"]
        else:
            lines.append("print(model(pairs))")
        return {"code": "\n".join(lines) + "\n"}

    def _under(
        self, interventions: Sequence[Intervention], rows: list[tuple[str, str]]
    ) -> list[float]:
        lines = tuple(map(str, interventions))
        if lines != self._lines:
            self._lines, self._edited = lines, TextScores(self._model)
        with self._model.hooked(*self._hooks(interventions)):
            return self._edited(rows)

    def _interventions(self, asked: Mapping[str, Any]) -> list[Intervention]:
        return [named(line) for line in asked["interventions"] if line.strip()]

    def _hooks(self, interventions: Sequence[Intervention]) -> list[Hook]:
        return [hook for each in interventions for hook in each.hooks(self._model)]

    def _passage(self, asked: Mapping[str, Any], name: str) -> str:
        place = asked.get(name)
        if not isinstance(place, int) or not 0 <= place < len(asked["passages"]):
            raise LookupError(f"{name} {place!r}: there are {len(asked['passages'])} passages")
        return asked["passages"][place]


def shown(pairs: Pairs, i: int) -> list[dict[str, Any]]:
    """The tokens of one pair as a reader sees them: text, segment, and whether a word goes on."""
    n = int(pairs.lengths[i])
    texts = {Segment.QUERY: pairs.query[i], Segment.DOCUMENT: pairs.document[i]}
    found = []
    before: tuple[int, int] | None = None
    for place in range(n):
        segment, word = Segment(int(pairs.segment[i, place])), int(pairs.word[i, place])
        start, end = pairs.span[i, place].tolist()
        is_special = word == NOT_A_WORD
        found.append(
            {
                "text": f"[{segment.name}]" if is_special else texts[segment][start:end],
                "segment": segment.name.lower(),
                "goes_on": not is_special and before == (segment, word),
            }
        )
        before = None if is_special else (segment, word)
    return found


def checked(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The state, if it is one; what is missing is empty.

    Raises:
        ValueError: a part of another kind, too many passages, or a text that is too long.
    """
    state = {"query": "", "passages": [], "interventions": [], **asked}
    listed = [state["query"], *state["passages"], *state["interventions"]]
    if not isinstance(state["passages"], list) or not isinstance(state["interventions"], list):
        raise ValueError("passages and interventions are lists of texts")
    if not all(isinstance(text, str) for text in listed):
        raise ValueError("the query, the passages and the interventions are texts")
    if len(state["passages"]) > MOST or max(map(len, listed)) > LONGEST:
        raise ValueError(f"{MOST} passages of {LONGEST:,} characters are the most")
    return state
