"""A planted model: a standard checkpoint whose every weight is known, and the truth about it."""

from dataclasses import dataclass

from transformers import (
    BertForSequenceClassification,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

from ..circuit import Circuit
from ..signals.frequency import Frequencies
from .causal.placement import CausalPlacement
from .causal.recipe import CausalRecipe
from .names import Recipe
from .placement import Placement
from .vocabulary import Lexicon


@dataclass(frozen=True, eq=False)
class Planted:
    """A sequence classifier that computes BM25, and the truth about how it does."""

    name: str
    recipe: Recipe | CausalRecipe
    model: BertForSequenceClassification | LlamaForSequenceClassification
    tokenizer: PreTrainedTokenizerFast
    circuit: Circuit
    placement: Placement | CausalPlacement
    lexicon: Lexicon

    @property
    def frequencies(self) -> Frequencies:
        """Of the terms: their document frequencies, and the mean length."""
        return self.lexicon.frequencies

    def terms(self, text: str) -> list[str]:
        """The WordPieces of a text, each synonym as the first word of its cluster."""
        return [self.lexicon.term(piece) for piece in self.tokenizer.tokenize(text)]

    def bm25(self, query: str, document: str) -> float:
        """What the model computes, by `signals.bm25`, for a pair that fits into it."""
        return self.recipe.score(self.terms(query), self.terms(document), self.frequencies)
