"""IR's own quantities, no model anywhere: how often terms occur, and what BM25 makes of it."""

from .bm25 import bm25, Bm25Index as Bm25Index
from .frequency import Frequencies, tokenize as tokenize


__all__ = [
    "bm25",
    "Frequencies",
]
