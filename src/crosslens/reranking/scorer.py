"""A model under interventions, as what scores the documents of a query."""

from collections.abc import Collection as Texts, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..batching.batches import scores_of
from ..corpora.collection import Collection
from ..idf.direction import idf_direction, IdfDirection
from ..idf.token_idf import TokenIdf
from ..interventions.named import named
from ..interventions.named_values import Intervention
from ..model.encoder import CrossEncoder
from ..pairs import Pairs


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores of documents by `model`, whose declared activation follows them, unless `logits`.

    `idf_of` are the documents that the IDF of an intervention is counted in.
    """

    model: CrossEncoder
    interventions: tuple[Intervention, ...] = ()
    idf_of: Texts[str] = ()
    logits: bool = False

    @classmethod
    def of(
        cls,
        model: CrossEncoder,
        idf_of: Texts[str],
        interventions: Iterable[str | Intervention] = (),
        *,
        logits: bool = False,
    ) -> "Scorer":
        """Interventions as values or as lines; a wrong one is an error now.

        Raises:
            TypeError: one line in place of a list of them.
            ValueError: a line that names no intervention, or IDF that is counted in no document.
            LookupError: a layer, head or site that the model does not have.
            NotMeasurable: the documents know the IDF of too few tokens.
        """
        if isinstance(interventions, str):
            raise TypeError(f"interventions are a list of lines: [{interventions!r}]")
        each = tuple(named(one) if isinstance(one, str) else one for one in interventions)
        found = cls(model, each, idf_of, logits)
        found.hooks()
        return found

    @cached_property
    def direction(self) -> IdfDirection:
        """Where the model's embeddings hold the IDF of these documents.

        Raises:
            ValueError: there are none.
        """
        if not self.idf_of:
            raise ValueError("an edit of IDF needs documents to count in: give idf_of=texts")
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
        scores = scores if self.logits else self.model.activated(scores)
        if not scores.isfinite().all():
            under = (
                f" under {', '.join(map(str, self.interventions))}" if self.interventions else ""
            )
            raise ValueError(f"a score is {scores[~scores.isfinite()][0]}{under}")
        return scores


def unique_pairs(
    model: CrossEncoder, query: str, documents: Sequence[str]
) -> tuple[Pairs, list[int]]:
    """The query with every different document, and which of these pairs each document is.

    A text that stands there twice is scored once: its scores are then the same number.

    Raises:
        ValueError: a text that the model cannot read.
    """
    rows = {text: row for row, text in enumerate(dict.fromkeys(documents))}
    return model.pair(query, *rows), [rows[text] for text in documents]


def scored(
    scorers: Sequence[Scorer], qid: str, texts: Collection, docids: Sequence[str]
) -> tuple[list[Float[Tensor, " document"]], Int[Tensor, " document"]]:
    """The scores of a query's documents by each scorer of one model, and the tokens cut of each.

    Raises:
        ValueError: names a query and a document that the model cannot read.
    """
    model, query = scorers[0].model, texts.queries[qid]
    documents = [texts.documents[docid] for docid in docids]
    try:
        pairs, places = unique_pairs(model, query, documents)
    except ValueError:
        for docid, document in zip(docids, documents, strict=True):
            try:
                model.pair(query, document)
            except ValueError as error:
                raise ValueError(
                    f"query {qid!r}, document {docid!r}: {error}; crosslens.corpora.readable("
                    "model, texts) leaves out what the model cannot read"
                ) from None
        raise
    return [each(pairs)[places] for each in scorers], pairs.cut.cpu()[places]
