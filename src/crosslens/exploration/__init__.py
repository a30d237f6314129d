"""A page, or a notebook's widget, on which scores and attention change as texts are edited."""

from .answers import Answers
from .widget import widget


__all__ = ["Answers", "widget"]
