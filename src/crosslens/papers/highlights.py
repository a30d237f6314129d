"""Texts with their important words marked, as HTML."""

from html import escape

from ..frames import Frame


STYLE = """
.texts p{font-size:1.02rem;line-height:1.75;max-width:80ch;overflow-wrap:anywhere}
.texts p.query{font-weight:640;margin-top:1.6em}
.texts mark{color:inherit;border-radius:3px;padding:0 2px}
"""


def highlighted(words: Frame) -> str:
    """A paragraph for the query and one for the document of each pair.

    `words` has a row per word: pair, segment, text, value and mark, how strongly it is marked (0
    to 1; 0: not at all).
    """
    blocks = []
    for _, pair in words.groupby("pair", sort=False):
        for segment in ("query", "document"):
            some = pair[pair["segment"] == segment]
            rows = zip(some["text"], some["value"], some["mark"], strict=True)
            text = " ".join(_marked(*row) for row in rows)
            blocks.append(f'<p class="{segment}">{text}</p>')
    return '<div class="texts">' + "\n".join(blocks) + "</div>"


def _marked(text: str, value: float, mark: float) -> str:
    if not mark:
        return escape(text)
    colour = f"rgba(224,122,40,{mark:.2f})"
    return f'<mark style="background:{colour}" title="{value:.4g}">{escape(text)}</mark>'
