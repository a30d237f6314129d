"""Relevance scoring: heads through which [CLS] reads the query, weighed by rarity.

Claim.   In a late layer some heads let [CLS] read the query tokens, those of rare terms and of
         terms that were matched more than others, and so write the score.
Test.    Heads that write the score past no other head (path patching). They restore more of a TFC1
         contrast, patched together, than as many others; most of what a match changes in their
         write at [CLS] is read from the query; and their attention from [CLS] to a query token goes
         with the token's IDF. In a decoder the last token, which is scored, stands for [CLS].
Source.  Lu, Chen & Eickhoff (2025), https://arxiv.org/abs/2502.04645. 10.1 stands in the authors'
         code; 10.4, 10.7 and 10.10 are recalled, and agree with one worked example there.
"""

from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from crosslens import heads, Unit
from crosslens.attention import attention_follows, attention_shares

from . import embedded
from .claim import Claim, Known, Verdict
from .evidence import Evidence
from .figure import Figure, mean_of
from .head_figures import beside, carried, found, mean_over_heads
from .placing import read_from
from .thresholds import FROM_QUERY, IDF_CORRELATION


NAME: Final = "relevance"
ROLE: Final = "relevance scoring"


def detect(evidence: Evidence) -> Verdict:
    """Whether such heads write the score, and whether they read the query by rarity."""
    figures = found(evidence, ROLE)
    if not all(each.holds for each in figures):
        return Verdict.by(NAME, evidence.checkpoint, figures, pairs=figures[-1].n)
    members = evidence.members(ROLE)
    every = evidence.model.heads()
    pairs = evidence.tfc1.more
    idf = evidence.token_idf.filled().to(pairs.device)[pairs.token]
    rarity = varied(attention_follows(evidence.model, pairs, idf).double().cpu().numpy())
    share = attention_shares(evidence.model, pairs)["query"]
    figures = [
        *figures,
        carried(evidence, ROLE),
        from_the_query(evidence, members),
        beside(
            evidence,
            "correlation of the scored token's attention to a query token with its IDF",
            rarity,
            members,
            expected=f"above {IDF_CORRELATION} and above other heads",
            holds=lambda low, high, control: low > max(IDF_CORRELATION, control),
        ),
    ]
    table = pd.DataFrame(
        {
            "head": [str(unit) for unit in every],
            "is_member": [unit in members for unit in every],
            "query": share.mean(dim=1).cpu().numpy(),
            "idf": mean_over_heads(rarity.T),  # here over pairs
        }
    )
    return Verdict.by(
        NAME,
        evidence.checkpoint,
        figures,
        members=frozenset(members),
        tables={"heads": table},
        pairs=len(evidence.tfc1),
    )


def varied(correlation: Float[np.ndarray, "head pair"]) -> Float[np.ndarray, "head pair"]:
    """The correlations, 0 for a head that attends to all query tokens alike.

    Where no head has one, the tokens themselves are equally rare: such a pair stays nan.
    """
    is_known = ~np.isnan(correlation).all(axis=0)
    return np.where(is_known, np.nan_to_num(correlation), np.nan)


def from_the_query(evidence: Evidence, members: list[Unit]) -> Figure:
    """How much of what a match changes in the heads' writes at the scored row is of the query."""
    names, at = ["query"], ["scored"] * len(members)
    shares = read_from(evidence.model, evidence.tfc1, members, at, names, at_once=16)[:, 0]
    return mean_of(
        "share of what they write at the scored token of a match that they read from the query",
        shares,
        expected=f"above {FROM_QUERY}",
        holds=lambda low, high, control: low > FROM_QUERY,
        seed=evidence.seed,
    )


CLAIM: Final = Claim(
    name=NAME,
    claim="Heads of a late layer write the score: [CLS] reads the query through them, rare terms "
    "more than common ones.",
    test="Path patching finds heads that write the score past no other; together they restore more "
    "of an added match than as many others, and their [CLS] attends to query tokens by IDF.",
    source="Lu, Chen & Eickhoff (2025), https://arxiv.org/abs/2502.04645",
    known={
        "cross-encoder/ms-marco-MiniLM-L-12-v2": Known(
            heads("10.1 10.4 10.7 10.10"),
            "https://arxiv.org/abs/2502.04645",
            "10.1: authors' code; the others recalled, and agree with one worked example",
        ),
        **embedded.known(ROLE),
    },
    detect=detect,
)
