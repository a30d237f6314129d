"""What heads read, to tell a head that matches terms from one that gathers the query.

Of a contrast that adds a word to the document: by how much more a head's query term reads
that word because it is the term (and not the filler of the other side), and how much of what
query tokens read is other query tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...arrays import array
from ...batching.batch_size import BatchSize
from ...contrasts.contrast import Contrast
from ...hooks import document_reads, Hooked
from ...sites import Unit
from ...stats import bootstrap_interval
from ..attention.attention_shares import attention_within_query, shares


@dataclass(frozen=True, eq=False)
class Reading:
    """The attention of every head, pair by pair.

    `matched` is what each token of the query term gives to the added word, more than it gives
    to the filler there; `within` is what query tokens give to other query tokens, more than
    if they read all tokens alike.
    """

    heads: tuple[Unit, ...]
    matched: Float[np.ndarray, "head pair"]
    within: Float[np.ndarray, "head pair"]

    def kind(self, head: Unit) -> str:
        """The role of a head that does not write the score itself.

        "matching" where the 95 % interval of `matched` lies above 0 and its mean is at least
        0.01 of the attention; else "contextual query representation" where that of `within`
        lies above 0; else "other".
        """
        at = self.heads.index(head)
        for values, least, name in (
            (self.matched[at], 0.01, "matching"),
            (self.within[at], 0.0, "contextual query representation"),
        ):
            if bootstrap_interval(values).low > 0 and np.nanmean(values) >= least:
                return name
        return "other"


@torch.no_grad()
def reading(model: Hooked, contrasts: Sequence[Contrast], *, at_once: int = 16) -> Reading:
    """How every head reads the pairs of some contrasts."""
    matched, within = [], []
    for contrast in contrasts:

        def read(rows: Sequence[int], contrast: Contrast = contrast) -> tuple[Tensor, Tensor]:
            some = contrast.take(rows)
            added = some.base.where("D_inj")
            term = some.base.where("Q+")
            term = torch.where(term.any(dim=1, keepdim=True), term, some.base.where("query"))
            ends = (added, term) if document_reads(model, some.base) else (term, added)
            more, base = (
                shares(model, side, ends[0][None], ends[1][None])[0]
                for side in (some.more, some.base)
            )
            return more - base, attention_within_query(model, some.base)

        size = BatchSize(at_once, tokens=contrast.base.token.shape[1])
        for _, (match, query) in size.batches(read, range(len(contrast))):
            matched.append(match)
            within.append(query)
    return Reading(
        tuple(model.heads()),
        array(torch.cat(matched, dim=1)),
        array(torch.cat(within, dim=1)),
    )
