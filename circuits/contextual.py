"""Contextual query representation: heads that pass what was matched on within the query.

Claim.   Between the heads that match and those that score, some heads let query tokens read
         other query tokens, so that what one term matched is known to the others.
Test.    The chain of path patching has heads, before those that score, whose query tokens read the
         query more than even attention would; patched together they restore more of a TFC1
         contrast than as many other heads.
Source.  Lu, Chen & Eickhoff (2025), https://arxiv.org/abs/2502.04645. The name and the place of
         the stage are read in a later paper (arXiv 2602.16299); that 8.10 and 9.11 belong to it is
         recalled, and agrees with the ranks of one worked example in the authors' notebook.
"""

from typing import Final

from crosslens import heads
from crosslens.attention import attention_within_query

from . import embedded
from .claim import Claim, Figure, Known, Verdict
from .evidence import Evidence


NAME: Final = "contextual"
ROLE: Final = "contextual query representation"


def detect(evidence: Evidence) -> Verdict:
    """Whether the chain has such heads, and whether they carry anything."""
    figures = evidence.found(ROLE)
    if not all(each.holds for each in figures):
        return Verdict.by(NAME, evidence.checkpoint, figures)
    members = evidence.members(ROLE)
    figures = [*figures, reads_the_query(evidence), evidence.carried(ROLE)]
    found = frozenset(members)
    return Verdict.by(NAME, evidence.checkpoint, figures, members=found)


def reads_the_query(evidence: Evidence) -> Figure:
    """What query tokens read of other query tokens, above what even attention would."""
    return evidence.beside(
        "attention of query tokens to other query tokens, above even",
        attention_within_query(evidence.model, evidence.tfc1.more).double().cpu().numpy(),
        evidence.members(ROLE),
        expected="above 0",
        holds=lambda low, high, control: low > 0,
    )


CLAIM: Final = Claim(
    name=NAME,
    claim="Between matching and scoring, some heads pass what was matched on within the query.",
    test="The traced chain has heads whose query tokens read the query, and together they restore "
    "more of an added match than as many others.",
    source="Lu, Chen & Eickhoff (2025), https://arxiv.org/abs/2502.04645",
    known={
        "cross-encoder/ms-marco-MiniLM-L-12-v2": Known(
            heads("8.10 9.11"),
            "https://arxiv.org/abs/2502.04645",
            "recalled; agrees with one worked example",
        ),
        **embedded.known(ROLE),
    },
    detect=detect,
)
