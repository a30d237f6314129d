"""Is rarity stored in the word embeddings, along which direction, and is it read there?"""

from .correlation import directions_of, idf_correlations
from .direction import idf_direction, IdfDirection as IdfDirection
from .doses import dose_response, idf_doses
from .token_idf import TokenIdf


__all__ = [
    "directions_of",
    "dose_response",
    "idf_correlations",
    "idf_direction",
    "idf_doses",
    "TokenIdf",
]
