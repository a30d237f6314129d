"""Which words of a passage carry its score, shown in the text itself?

The ten most important tokens of relevant pairs, coloured by how much they pass, on a page; the
special tokens are left out. Jiang et al. (2021), Fig. 1c and Table 4.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

from crosslens.frames import Frame, pd
from crosslens.words import highlighted, method

from .running import Given, main
from .samples import relevant_pairs


class Options(NamedTuple):
    pairs: int = 6
    method: Annotated[str, "A word attribution by name; see crosslens.words.METHODS."] = (
        "bottleneck"
    )
    top: Annotated[int, "How many tokens of each pair are marked."] = 10


@dataclass(frozen=True)
class Answer:
    """One row per word: pair, segment, word, text, value, mark (0 to 1; 0: not marked)."""

    words: Frame


def analyse(given: Given) -> Answer:
    """The attribution of relevant pairs, word by word."""
    pairs = relevant_pairs(given.texts, given.pairs, given.seed).of(given, slice(None))
    found = method(given.options.method)(given.model, pairs)
    words: Frame = found.words()
    words = words[words["segment"].isin(["query", "document"])]
    tables = []
    for _, some in words.groupby("pair"):
        top = some["value"].nlargest(given.options.top)
        least, most = top.min(), top.max()
        mark = (0.25 + 0.75 * (top - least) / max(most - least, 1e-12)).reindex(some.index)
        tables.append(some.assign(mark=mark.fillna(0.0)))
    return Answer(pd.concat(tables, ignore_index=True))


def draw(answer: Answer) -> dict[str, str]:
    """One page, each pair a paragraph for its query and one for its document."""
    style = "body{font:17px system-ui,sans-serif;margin:2em;color-scheme:light dark}"
    body = highlighted(answer.words)
    page = (
        "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>Highlighted passages</title>"
        f"<style>{style}</style><body>{body}</body></html>\n"
    )
    return {"highlights.html": page}


if __name__ == "__main__":
    main(__spec__.name)
