"""Texts in HTML: some stretches inside of a tag, everything else shown as it is."""

from collections.abc import Sequence

from markupsafe import escape, Markup


def around(text: str, spans: Sequence[Sequence[int]], tag: Markup) -> Markup:
    """The text with these spans, of characters and in order, inside of `tag`; the rest escaped."""
    out, last = Markup(""), 0
    for start, end in spans:
        out += escape(text[last:start]) + tag.format(text[start:end])
        last = end
    return out + escape(text[last:])
