"""Queries that nobody asked: what a passage is about, put the way people type into a search box.

Labelled queries are few, but a teacher can judge any text as a query. A pseudo-query takes one or
two salient phrases of a passage and, most of the time, a stem that search logs are full of.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np


STEMS: Final[tuple[str, ...]] = (
    "what is {}",
    "what is {}",
    "what is the {} of {}",
    "what are {}",
    "what does {} mean",
    "what causes {}",
    "what type of {} is {}",
    "{} definition",
    "define {}",
    "{} meaning",
    "{} symptoms",
    "{} vs {}",
    "difference between {} and {}",
    "how to {}",
    "how does {} work",
    "how does {} affect {}",
    "how long does {} last",
    "how much does {} cost",
    "how many {} in {}",
    "average cost of {}",
    "who is {}",
    "who invented {}",
    "where is {}",
    "when was {}",
    "why is {} {}",
    "is {} a {}",
    "can {} cause {}",
    "does {} have {}",
    "types of {}",
    "examples of {}",
    "{} phone number",
    "{} salary",
    "{} county",
)
FUNCTION_WORDS: Final = frozenset(
    re.findall(
        r"\w+",
        """
    a about above after again all also am an and any are as at be because been before being
    between both but by can could did do does doing down during each few for from further get
    had has have having he her here hers him his how however i if in into is it its itself
    just like made make many may me more most much must my no nor not now of off on once one
    only or other our out over own s same she should so some such t than that the their them
    then there these they this those through to too two under until up us use used using very
    was we well were what when where which while who whom why will with would you your
    """,
    )
)


@dataclass(frozen=True)
class Rarity:
    """How telling a word is: the log of how few documents hold it."""

    idf: Mapping[str, float]
    unseen: float

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Rarity":
        frequency: Counter[str] = Counter()
        total = 0
        for text in texts:
            frequency.update(set(words(text)))
            total += 1
        idf = {word: float(np.log(total / n)) for word, n in frequency.items()}
        return cls(idf, float(np.log(total + 1)))

    def __getitem__(self, word: str) -> float:
        return self.idf.get(word, self.unseen)


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+(?:['.][a-z0-9]+)*", text.lower())


def salient(text: str, rarity: Rarity, longest: int = 3) -> list[str]:
    """Runs of content words of `text`, the most telling first: rare words that come back."""
    content: list[list[str]] = [[]]
    for token in re.findall(r"[a-z0-9]+(?:['.][a-z0-9]+)*|[^\sa-z0-9]", text.lower()):
        if token[0].isalnum() and token not in FUNCTION_WORDS:
            content[-1].append(token)
        elif content[-1]:
            content.append([])
    counts = Counter(word for run in content for word in run)
    weight = {word: rarity[word] * (1 + np.log(n)) for word, n in counts.items()}
    spans: dict[str, float] = {}
    for run in content:
        for start in range(len(run)):
            for stop in range(start + 1, min(len(run), start + longest) + 1):
                span = run[start:stop]
                # a longer span must earn its length, or every phrase would be `longest` words
                value = sum(weight[word] for word in span) / len(span) ** 0.7
                spans[" ".join(span)] = float(value)
    return sorted(spans, key=spans.__getitem__, reverse=True)


def pseudo_query(text: str, rarity: Rarity, random: np.random.Generator) -> str:
    """A query to which `text` may be an answer; empty when it has no content words.

    A quarter are a sentence's own words in order, a quarter bare phrases, the rest stems.
    """
    phrases = salient(text, rarity)[:8]
    if not phrases:
        return ""
    first = phrases[int(random.integers(min(4, len(phrases))))]
    others = [p for p in phrases if not set(p.split()) & set(first.split())] or [first]
    second = others[int(random.integers(len(others)))]
    kind = random.random()
    if kind < 0.25:
        return excerpt(text, random)
    if kind < 0.4:
        return f"{first} {second}"
    if kind < 0.5:
        return first
    stem = STEMS[int(random.integers(len(STEMS)))]
    return stem.format(*(first, second)[: stem.count("{}")])


def excerpt(text: str, random: np.random.Generator) -> str:
    """A few words of one sentence of `text`, in their order, most function words left out."""
    sentences = [words(s) for s in re.split(r"(?<=[.!?])\s+", text)]
    sentences = [s for s in sentences if len(s) >= 3] or [words(text)]
    sentence = sentences[int(random.integers(len(sentences)))]
    kept = [w for w in sentence if w not in FUNCTION_WORDS or random.random() < 0.25]
    length = int(random.integers(3, 9))
    start = int(random.integers(max(1, len(kept) - length + 1)))
    return " ".join(kept[start : start + length])


def windows(text: str, shortest: int = 12, longest: int = 36) -> list[str]:
    """`text` cut at sentence ends into pieces of about `shortest` to `longest` words."""
    pieces, current = [], []
    for sentence in re.split(r"(?<=[.!?])\s+", text):
        current.extend(sentence.split())
        if len(current) >= shortest:
            pieces.append(" ".join(current[:longest]))
            current = []
    if len(current) >= shortest or (current and not pieces):
        pieces.append(" ".join(current[:longest]))
    return pieces
