"""A model under interventions, as what scores the documents of a query."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..corpora.collection import Collection
from ..engine.batches import scores_of
from ..idf.direction import idf_direction, IdfDirection
from ..idf.token_idf import TokenIdf
from ..interventions.named import Intervention, named
from ..model.encoder import CrossEncoder
from ..pairs import Pairs


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores of documents by `model`, whose declared activation follows them, unless `logits`.

    `idf_of` are the documents that the IDF of an intervention is counted in.
    """

    model: CrossEncoder
    interventions: tuple[Intervention, ...] = ()
    idf_of: Iterable[str] = ()
    logits: bool = False

    @classmethod
    def of(
        cls,
        model: CrossEncoder,
        texts: Collection,
        interventions: Iterable[str | Intervention] = (),
        *,
        logits: bool = False,
    ) -> "Scorer":
        """Interventions as values or as lines; a wrong one is an error now.

        Raises:
            TypeError: one line in place of a list of them.
            ValueError: a line that names no intervention.
            LookupError: a layer, head or site that the model does not have.
            NotMeasurable: the texts know the IDF of too few tokens.
        """
        if isinstance(interventions, str):
            raise TypeError(f"interventions are a list of lines: [{interventions!r}]")
        each = tuple(named(one) if isinstance(one, str) else one for one in interventions)
        found = cls(model, each, texts.documents.values(), logits)
        found.hooks()
        return found

    @cached_property
    def direction(self) -> IdfDirection:
        """Where the model's embeddings hold the IDF of these documents."""
        counted = TokenIdf.of_documents(self.model.tokens.tokenizer, self.idf_of)
        return idf_direction(self.model.W_E, counted)

    def hooks(self) -> list[Any]:
        """The hooks of all interventions, in their order; noise is drawn as it was before."""
        return [
            hook
            for each in self.interventions
            for hook in each.hooks(self.model, lambda: self.direction)
        ]

    @torch.no_grad()
    def __call__(self, pairs: Pairs) -> Float[Tensor, " pair"]:
        """The scores, in double precision: where a sigmoid would make them alike in single.

        Raises:
            ValueError: a score that is no finite number.
        """
        with self.model.hooked(*self.hooks()):
            scores = scores_of(self.model, pairs).double().cpu()
        scores = scores if self.logits else self.model.activation(scores)
        if not scores.isfinite().all():
            under = (
                f" under {', '.join(map(str, self.interventions))}" if self.interventions else ""
            )
            raise ValueError(f"a score is {scores[~scores.isfinite()][0]}{under}")
        return scores


def pairs_of(model: CrossEncoder, qid: str, texts: Collection, docids: Sequence[str]) -> Pairs:
    """The query with each of its documents.

    Raises:
        ValueError: a pair that the model cannot read; names it.
    """
    query, documents = texts.queries[qid], [texts.documents[docid] for docid in docids]
    try:
        return model.pair(query, *documents)
    except ValueError:
        for docid, document in zip(docids, documents, strict=True):
            try:
                model.pair(query, document)
            except ValueError as error:
                raise ValueError(f"query {qid!r}, document {docid!r}: {error}") from None
        raise


def scored(
    scorers: Sequence[Scorer], qid: str, texts: Collection, docids: Sequence[str]
) -> tuple[list[Float[Tensor, " document"]], Int[Tensor, " document"]]:
    """The scores of a query's documents by each scorer of one model, and the tokens cut of each.

    A text that several documents share is scored once: their scores are then the same number.
    """
    rows: dict[str, int] = {}
    first: dict[str, str] = {}
    for docid in docids:
        text = texts.documents[docid]
        rows.setdefault(text, len(rows))
        first.setdefault(text, docid)
    pairs = pairs_of(scorers[0].model, qid, texts, list(first.values()))
    places = [rows[texts.documents[docid]] for docid in docids]
    return [each(pairs)[places] for each in scorers], pairs.cut.cpu()[places]
