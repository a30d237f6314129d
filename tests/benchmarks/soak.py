"""A long run watched: does the process grow with the pairs that it has been through?

Contrasts of the embedded reranker, part after part, each through patching (the heads of two
layers), conductance and the bottleneck; after every tenth of the pairs, what the process holds.
"""

import gc
import random
import time

import psutil
import torch

from crosslens import bottleneck, collection, conductance, Contrast, CrossEncoder, load, patching
from crosslens.attribution import Noise, padding_baseline

from .timing import Table


PART = 20  # pairs of one part
LAST = 2  # layers whose heads are patched
GROWTH = 0.02  # of what is held: the peak of the second half over that of the first is less


def soak(*, pairs: int, tokens: int, model: str = "embedded") -> Table:
    """What the process holds after every tenth of `pairs`; "flat" is 1 where it does not grow."""
    loaded = load(model)
    units = [unit for unit in loaded.heads() if unit.site in loaded.sites("z")[-LAST:]]
    process, begun = psutil.Process(), time.monotonic()
    held: list[float] = []
    done = 0
    for contrast in contrasts(loaded, pairs, tokens):
        of_part(loaded, contrast, units)
        done += len(contrast)
        while len(held) < 10 * done // pairs:
            gc.collect()
            held.append(process.memory_info().rss / 2**20)
            minutes = (time.monotonic() - begun) / 60
            print(
                f"{10 * len(held):4d} %  {done:6d} pairs  {held[-1]:8.1f} MiB  {minutes:5.1f} min"
            )
    first, second = max(held[:5]), max(held[5:])
    facts = {f"MiB after {10 * i} %": value for i, value in enumerate(held, start=1)}
    facts |= {"second half over first": second / first, "flat": float(second / first < 1 + GROWTH)}
    return Table(f"soak: {done} pairs of {tokens} tokens, {model}", "pair", {}, facts)


def of_part(model: CrossEncoder, contrast: Contrast, units: list) -> None:
    """The three methods, with as few steps as they take: what they keep is the same."""
    patching(model, contrast, units)
    conductance(model, contrast.more, padding_baseline(model, contrast.more), steps=2)
    with torch.no_grad(), model.record(*model.block_outputs()) as cache:
        model(contrast.more)
    noises = [Noise.of(value, contrast.more) for value in cache.values()]
    bottleneck(model, contrast.more, noises, layers=[len(noises) - LAST], steps=2, repeats=2)


def contrasts(model: CrossEncoder, n: int, tokens: int):
    """`n` pairs in parts: a word of a passage is a filler, or the query's."""
    drawn, texts = random.Random(0), collection("embedded")
    known = model.tokens.tokenizer.get_vocab()
    words = [
        [word for word in text.lower().split() if word in known and word.isalpha()]
        for text in texts.documents.values()
    ]
    passages = [each for each in words if len(each) >= 8]
    for start in range(0, n, PART):
        queries, base, more = [], [], []
        for _ in range(min(PART, n - start)):
            passage = drawn.choice(passages)
            term, other = drawn.sample(passage, 2)
            length = drawn.randint(tokens // 2, tokens - 5)
            rest = drawn.choices(passage, k=length)
            queries.append(f"{term} {other}")
            base.append(" ".join([*rest, "thing"]))
            more.append(" ".join([*rest, term]))
        yield Contrast.between(model.pairs(queries, base), model.pairs(queries, more), "one word")
