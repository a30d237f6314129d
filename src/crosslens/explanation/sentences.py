"""What an explanation says in words, the same in the terminal and on the page."""

import math
from typing import Final

from .explanation import Details
from .turning import Turn


LEAST: Final = 0.02  # of the strongest match or head: weaker ones are in the table alone


def agreed(details: Details) -> str:
    """How far two estimates agree with the exact effects."""
    said = ", ".join(
        f"{name.replace('_', ' ')} {'has no order' if math.isnan(rho) else f'{rho:.2f}'}"
        for name, rho in details.agreement.items()
    )
    return f"Spearman's correlation of two estimates with the exact effects: {said}."


def matched(details: Details) -> str:
    """Which words of the query are matched, and what all matches are worth."""
    if details.terms.empty:
        return "No word of the query is matched in the passage, exactly or in meaning."
    by_size = details.terms["effect"].abs().sort_values(ascending=False)
    strong = by_size[by_size >= LEAST * by_size.max()].index
    said = ", ".join(
        f"{row.term} ({row.effect:+.2f})"
        if row.kind == "exact"
        else f"{row.term} by {row.matches} ({row.effect:+.2f})"
        for row in details.terms.loc[strong].itertuples()
    )
    least = LEAST * details.heads["effect"].abs().max()
    heads = ", ".join(
        f"{row.head} ({row.effect:+.2f})"
        for row in details.heads.itertuples()
        if abs(row.effect) >= least
    )
    return (
        f"Matched: {said}. Hidden from each other, all matches together cost "
        f"{details.matched:+.2f}; the heads (layer.head, from 0) that carry most of it: {heads}."
    )


def decided(details: Details) -> str:
    """Which layer decides."""
    layer = details.deciding_layer
    apart = details.layers["without"].iloc[0]
    step = details.layers["step"].iloc[layer]
    return (
        f"Had query and passage never read each other, the score would be {apart:.2f}. Layer "
        f"{layer} (from 0) decides: reading each other there moves it by {step:+.2f}, more than in "
        "any other layer."
    )


def turn(found: Turn) -> str:
    """The smallest change that turns the order, or that none was found."""
    removes = found.kind == "remove"
    where = "the first passage" if removes else "the second passage"
    if not found.is_found:
        how = f"removing up to six words from {where}"
        if not removes:
            how = f"adding words of the query or of the first passage to {where}"
        return f"No change of order was found by {how} ({found.n_scored} texts were scored)."
    words = ", ".join(f"“{word}”" for word in found.words)
    n = f"{len(found.words)} word{'s' if len(found.words) > 1 else ''}"
    least = "no smaller change turns it" if found.is_fewest else "the fewest that were found"
    done = f"removed from {where}" if removes else f"added to {where}"
    return (
        f"The order turns with {n} {done}: {words}. Its score goes from {found.before:.3f} to "
        f"{found.after:.3f}, the other's is {found.other:.3f}; {least}."
    )
