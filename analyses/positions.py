"""Where in a document the important tokens stand, as tables."""

from crosslens.frames import Frame, pd
from crosslens.words import important_tokens, WordAttribution

from .means import means_of


WIDTH = 10  # positions of the document that are counted as one
EARLY = 20  # positions of the document, where jiang2021 found most important tokens


def tokens_of(found: WordAttribution, important: int) -> Frame:
    """One row per token: pair, segment, value, is_important, position.

    `position` is that within the document, from 0; -1 outside.
    """
    pairs = found.pairs
    inside = pairs.where("document")
    position = inside.long().cumsum(dim=1) - 1
    at = pairs.attended.nonzero(as_tuple=True)
    return found.frame().assign(
        is_important=important_tokens(found, important)[at].numpy(force=True),
        position=position.where(inside, position.new_tensor(-1))[at].numpy(force=True),
    )


def histogram(tokens: Frame, by: str) -> Frame:
    """How many important tokens stand in each ten positions, and what share of the tokens there.

    `position` is the first of the ten. Long documents are few: the share tells what chance of
    being important a position has.
    """
    inside = tokens[tokens["position"] >= 0]
    inside = inside.assign(position=inside["position"] // WIDTH * WIDTH)
    found = inside.groupby([by, "position"], sort=False)["is_important"]
    return found.agg(tokens="sum", share="mean").reset_index()


def early(tokens: Frame, by: str, seed: int) -> Frame:
    """The share of a document's important tokens, and of all, among its first 20.

    Means over the pairs with important tokens in their document, with 95 % intervals; `more` is
    the mean difference. Of documents of 20 tokens both are 1.
    """
    rows = []
    for name, some in tokens[tokens["position"] >= 0].groupby(by, sort=False):
        is_early = some["position"] < EARLY
        some = some.assign(is_early=is_early, is_both=is_early & some["is_important"])
        pairs = some.groupby("pair")[["is_early", "is_important", "is_both"]].mean()
        pairs = pairs[pairs["is_important"] > 0]
        if pairs.empty:
            continue
        important = pairs["is_both"] / pairs["is_important"]
        more = important - pairs["is_early"]
        shares = {"important": important, "all_tokens": pairs["is_early"], "more": more}
        rows.append({by: name, "n": len(pairs), **means_of(shares, seed)})
    return pd.DataFrame(rows)
