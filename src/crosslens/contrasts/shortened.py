"""A model that reads shorter pairs: contrasts built for it are cheaper to sweep."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..pairs import Pairs
from .candidates import Reads


@dataclass(frozen=True, eq=False)
class Shortened:
    """Reads texts as `model` does, in pairs of at most `limit` tokens; documents lose their end.

    The tokens of a template around the two texts are not counted.

    The scores are still the model's own: this only makes pairs.
    """

    model: Reads
    limit: int

    @property
    def tokens(self) -> Any:
        """The model's own tokenizer of pairs, within the limit."""
        own: Any = self.model.tokens
        return replace(own, limit=min(self.limit + getattr(own, "n_around", 0), own.limit))

    def pairs(self, queries: Sequence[str], documents: Sequence[str]) -> Pairs:
        """Each query with the document of the same place.

        Raises:
            ValueError: a query or document without a token the model knows, or not one document
                for each query.
        """
        device: Any = getattr(self.model, "device", "cpu")
        return self.tokens(queries, documents).to(device)
