"""Figures as the page wants them: numbered, with a caption, and in words for who does not see."""

from dataclasses import dataclass, field
from itertools import count
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup


@dataclass(frozen=True)
class Figure:
    """A figure as the template wants it."""

    id: str
    caption: Markup
    alt: str
    height: int
    json: Markup


@dataclass
class Figures:
    """Numbers the figures of one page."""

    numbers: Any = field(default_factory=lambda: count(1))

    def __call__(self, drawn: go.Figure, caption: Markup, alt: str) -> Figure:
        text = drawn.to_json()
        assert text is not None
        return Figure(
            f"figure-{next(self.numbers)}",
            caption,
            alt,
            int(drawn.layout.height),
            Markup(text.replace("</", "<\\/")),  # nothing may close the script it stands in
        )
