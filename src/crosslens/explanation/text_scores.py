"""Scores of queries and passages as they are written, each computed once."""

from collections.abc import Sequence

from ..batching.batches import scores_of
from ..model.encoder import CrossEncoder


class TextScores:
    """The score of any query and passage by `model`, kept."""

    def __init__(self, model: CrossEncoder):
        self.model = model
        self._known: dict[tuple[str, str], float] = {}

    def __call__(self, rows: Sequence[tuple[str, str]]) -> list[float]:
        """The scores of (query, passage), in their order; new ones in batches of like length."""
        new = self.unknown(rows)
        if new:
            pairs = self.model.pairs([query for query, _ in new], [text for _, text in new])
            scores = scores_of(self.model, pairs).double().tolist()
            self._known |= zip(new, scores, strict=True)
        return [self._known[row] for row in rows]

    def __len__(self) -> int:
        """How many were computed."""
        return len(self._known)

    def unknown(self, rows: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those that would have to be computed, each once."""
        return [row for row in dict.fromkeys(rows) if row not in self._known]
