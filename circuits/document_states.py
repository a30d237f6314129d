"""Document states: what a document's tokens hold need not depend on the query.

Claim.   The score needs that query tokens read the document, not that document tokens read the
         query.
Test.    Query, [CLS] and first [SEP] are hidden from the tokens of the document in every layer
         (token mask: their states cannot depend on the query at all). That must move scores less
         than hiding the document from the tokens of the query does. Beside it stands in how many
         of the first layers this may be done before scores move by more than a small part.
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
from .thresholds import SPREAD


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
    n_layers = evidence.model.cfg.n_layers
    found = {DOCUMENT: shifts(evidence, DOCUMENT), QUERY: shifts(evidence, QUERY)[-1:]}
    evidence.watch("Masking layers", n_layers, n_layers)
    figures = [reaction, *figures_of(found, DOCUMENT, evidence.seed)]
    return Verdict.by(NAME, evidence.checkpoint, figures, pairs=len(pairs))


def shifts(evidence: Evidence, reader: str) -> Float[np.ndarray, "layers pair"]:
    """How far each score moves when `reader` is masked in the first 1, 2, ... layers.

    In standard deviations of the whole model's scores. An offset that all pairs share counts too,
    although it moves no ranking.
    """
    pairs, n_layers = evidence.tfc1.more.take(slice(MOST)), evidence.model.cfg.n_layers
    dst, src = READS[reader]
    whole, found = score(evidence.model, pairs), []
    for last in range(n_layers):
        evidence.watch("Masking layers", last, n_layers)
        with evidence.model.hooked(*(token_mask(i, dst=dst, src=src) for i in range(last + 1))):
            found.append(np.abs(score(evidence.model, pairs) - whole))
    return np.array(found) / whole.std()


def figures_of(
    found: Mapping[str, Float[np.ndarray, "layers pair"]], masked: str, seed: int
) -> list[Figure]:
    """What masking `masked` moves, the other reader as control, and how many layers may be."""
    (other,) = set(found) - {masked}
    small = [bool(each.mean() < SPREAD) for each in found[masked]]
    layers = next((i for i, is_small in enumerate(small) if not is_small), len(small))
    return [
        mean_of(
            f"change of the score without what {masked} tokens read of the rest, in deviations",
            found[masked][-1],
            control=found[other][-1],
            expected="below that without what the other text's tokens read",
            holds=lambda low, high, control: high < control,
            seed=seed,
        ),
        Figure(
            f"first layers in which that moves scores by less than {SPREAD} deviations",
            float(layers),
            n=len(small),
        ),
    ]


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
