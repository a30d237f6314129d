"""A model that reads shorter pairs: contrasts built for it are cheaper to sweep."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..model.encoder import CrossEncoder
from ..model.tokens import PairTokenizer
from ..pairs import Pairs


@dataclass(frozen=True, eq=False)
class Shortened:
    """Reads as `model` does, pairs of at most `limit` tokens."""

    model: CrossEncoder
    limit: int

    @property
    def tokens(self) -> PairTokenizer:
        """The model's own tokenizer, within the limit."""
        own = self.model.tokens
        return replace(own, limit=min(self.limit, own.limit))

    def pairs(self, queries: Sequence[str], documents: Sequence[str]) -> Pairs:
        """Each query with the document beside it."""
        return self.tokens(queries, documents).to(self.model.device)
