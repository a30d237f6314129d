"""Any texts as queries and documents: through terms, BM25, pairs and scores."""

import math
from collections.abc import Callable
from functools import cache

import torch
from hypothesis import strategies as st
from tiny import tiny

from crosslens import Bm25Index, CrossEncoder, load, Pairs, tokenize

from .outcome import Outcomes, require


PLANTED = "planted:bm25?layers=3&heads=3&decoys=1&busy"
AT_ONCE = 12
WORDS = (  # cut at spaces alone: other white space is among them
    "cats purr boat river the a [PAD] [CLS] [SEP] [UNK] </s> ##s café cafe\u0301 İstanbul ß ﬁ "
    "हिन्दी 東京 مرحبا \u200d \u00ad \u202e \ud800 \udfff \x00 \x1f \u2028 \u0301 👩\u200d👩 "
    "1e5 _ \t \n"
).split(" ")
CHARACTERS = st.characters(exclude_categories=())  # surrogates, too
TEXTS = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join),
    st.text(CHARACTERS, max_size=12),
    st.lists(st.sampled_from(WORDS) | st.text(CHARACTERS, max_size=3), max_size=6).map("".join),
)
LONG = st.builds(lambda word, n: word * n, st.sampled_from(WORDS), st.sampled_from([300, 3_000]))
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=AT_ONCE) | st.lists(
    st.tuples(TEXTS, TEXTS | LONG), min_size=1, max_size=2
)


@cache
def models() -> tuple[CrossEncoder, ...]:
    return load(*tiny("bert")), load(*tiny("roberta")), load(PLANTED)


def texts(drawn: list[tuple[str, str]], outcomes: Outcomes) -> None:
    """Each pair is scored as a finite number by each model, or refused."""
    indexed = {f"{i}": document for i, (_, document) in enumerate(drawn)}
    index = Outcomes().of(lambda: Bm25Index(indexed))
    for query, document in drawn:
        require(all(isinstance(term, str) for term in tokenize(document)), "a term is a text")
        if index is not None:
            found = index.scores(query)
            require(len(found) == len(drawn) and bool((found >= 0).all()), f"BM25 gives {found}")
    counts = [Outcomes() for _ in models()]
    for model, own in zip(models(), counts, strict=True):
        scored(model, drawn, own)
        require(own.inputs == len(drawn), f"{own.inputs} of {len(drawn)} pairs are accounted for")
    outcomes.counts.update(counts[0].counts)


def scored(model: CrossEncoder, drawn: list[tuple[str, str]], outcomes: Outcomes) -> None:
    """All together, if all can be read; else each alone, and then those that can."""
    pairs = Outcomes().of(lambda: paired(model, drawn))
    if pairs is None:
        alone = [outcomes.of(lambda each=each: paired(model, [each])) for each in drawn]
        read = [each for each, found in zip(drawn, alone, strict=True) if found is not None]
        if not read:
            return
        pairs = paired(model, read)
    else:
        outcomes.counts["read"] += len(drawn)
        read = drawn
    queries, documents = map(list, zip(*read, strict=True))
    whole = model.tokens.tokenizer(queries, documents, verbose=False)["input_ids"]
    kept = (pairs.lengths + pairs.cut).tolist()
    require(kept == [*map(len, whole)], f"of {[*map(len, whole)]} tokens {kept} are accounted for")
    with torch.no_grad():
        scores = model(pairs).tolist()
    require(all(map(math.isfinite, scores)), f"scores {scores}")


def paired(model: CrossEncoder, drawn: list[tuple[str, str]]) -> Pairs:
    return model.pairs(*map(list, zip(*drawn, strict=True)))


TEXT_PARTS: dict[str, tuple[st.SearchStrategy, Callable]] = {"texts": (PAIRS, texts)}
