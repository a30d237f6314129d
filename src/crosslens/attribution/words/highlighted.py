"""Texts with their important words marked, as HTML."""

from html import escape

from ...frames import Frame


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
            look = "font-weight:600;margin-top:1.6em" if segment == "query" else ""
            blocks.append(f'<p style="line-height:1.75;max-width:80ch;{look}">{text}</p>')
    return "\n".join(blocks)


def _marked(text: str, value: float, mark: float) -> str:
    if not mark:
        return escape(text)
    style = f"background:rgba(224,122,40,{mark:.2f});color:inherit;padding:0 2px"
    return f'<mark style="{style}" title="{value:.4g}">{escape(text)}</mark>'
