"""A model, as it is or under interventions, in the shape that other libraries expect of a reranker.

What an adapter does not follow of the library's own arguments is an error that names it.
"""

from .frame_reranker import FrameReranker, pyterrier_transformer
from .pair_ranker import SentenceTransformersReranker
from .text_ranking import text_ranking


__all__ = [
    "FrameReranker",
    "SentenceTransformersReranker",
    "pyterrier_transformer",
    "text_ranking",
]
