"""Document states: what a document's tokens hold need not depend on the query.

Claim.   The score needs that query tokens read the document, not that document tokens read the
         query.
Test.    Query, [CLS] and first [SEP] are hidden from the tokens of the document in every layer
         (token mask: their states cannot depend on the query at all). That must move scores less
         than hiding the document from the tokens of the query does. `interaction_masks` among the
         analyses goes through the layers.
Source.  Zhan, Mao, Liu, Zhang & Ma (2020), section 5, Fig. 4;
         https://github.com/jingtaozhan/bert-ranking-analysis
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Float

from crosslens import NotMeasurable, token_mask

from .claim import Claim, Verdict
from .evidence import Evidence
from .figure import Figure, mean_of
from .head_figures import rise
from .scores import score


NAME: Final = "document-states"
MOST: Final = 20  # pairs
DOCUMENT, QUERY = "document", "query"
READS: Final = {  # the tokens that read, and those that are hidden from them
    DOCUMENT: (("document", "sep2"), ("cls", "query", "sep1")),
    QUERY: (("query",), ("cls", "sep1", "document", "sep2")),
}


def detect(evidence: Evidence) -> Verdict:
    """Whether scores do without what document tokens read of the query."""
    reaction = rise(evidence)
    if not reaction.holds:
        return Verdict.by(NAME, evidence.checkpoint, [reaction], pairs=reaction.n)
    pairs = evidence.tfc1.more.take(slice(MOST))
    if len(pairs) < 2:
        raise NotMeasurable("one pair has no spread of scores")
    if evidence.model.is_causal:
        raise NotMeasurable("in a causal model no token of the first text reads the second")
    moved = {reader: shifts(evidence, reader) for reader in READS}
    figures = [reaction, compared(moved, DOCUMENT, evidence.seed)]
    return Verdict.by(NAME, evidence.checkpoint, figures, pairs=len(pairs))


def shifts(
    evidence: Evidence, reader: str, layers: int | None = None
) -> Float[np.ndarray, " pair"]:
    """How far each score moves when `reader` is masked in the first `layers` layers, or in all.

    In standard deviations of the whole model's scores. An offset that all pairs share counts too,
    although it moves no ranking.
    """
    pairs = evidence.tfc1.more.take(slice(MOST))
    dst, src = READS[reader]
    masked = range(evidence.model.cfg.n_layers if layers is None else layers)
    whole = score(evidence.model, pairs)
    with evidence.model.hooked(*(token_mask(i, dst=dst, src=src) for i in masked)):
        return np.abs(score(evidence.model, pairs) - whole) / whole.std()


def compared(moved: Mapping[str, Float[np.ndarray, " pair"]], masked: str, seed: int) -> Figure:
    """What masking `masked` moves, with the other reader as control."""
    (other,) = set(moved) - {masked}
    return mean_of(
        f"change of the score without what {masked} tokens read of the rest, in deviations",
        moved[masked],
        control=moved[other],
        expected="below that without what the other text's tokens read",
        holds=lambda low, high, control: high < control,
        seed=seed,
    )


CLAIM: Final = Claim(
    name=NAME,
    claim="The score needs that query tokens read the document, not that document tokens read "
    "the query.",
    test="Hiding the query from document tokens in all layers moves scores less than hiding the "
    "document from query tokens.",
    source="Zhan, Mao, Liu, Zhang & Ma (2020), "
    "https://github.com/jingtaozhan/bert-ranking-analysis",
    known={},  # a statement about tokens; it names no member
    detect=detect,
)
