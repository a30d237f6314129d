"""Periods: where attention rests that reads nothing.

Claim.   The periods of a document receive much attention, and what is read there hardly matters to
         the score.
Test.    Periods receive more of all tokens' attention, on average over heads and layers, than as
         many other tokens of the same documents; hidden from all tokens in all layers (token mask)
         they move scores less than those others do.
Source.  Zhan, Mao, Liu, Zhang & Ma (2020), sections 4.1 and 4.4, Fig. 1 and Table 1;
         https://github.com/jingtaozhan/bert-ranking-analysis
"""

from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float

from crosslens import NotMeasurable, Pairs, token_mask
from crosslens.attention import attention_shares
from crosslens.probing import with_periods

from .claim import Claim, Verdict
from .evidence import Evidence
from .figure import Figure, mean_of
from .head_figures import rise
from .scores import score
from .thresholds import QUERIES


NAME: Final = "periods"
EACH: Final = 2  # documents of a query
DRAWS: Final = 4  # sets of other tokens
ALL: Final = "cls|query|sep1|document|sep2"
PERIOD: Final = "document period"
OTHER: Final = "drawn"


def detect(evidence: Evidence) -> Verdict:
    """Whether periods are attended to more, and matter less, than other tokens of a document."""
    reaction = rise(evidence)
    if not reaction.holds:
        return Verdict.by(NAME, evidence.checkpoint, [reaction], pairs=reaction.n)
    pairs = with_a_period(evidence)
    figures = [reaction, *figures_of(evidence, pairs)]
    return Verdict.by(NAME, evidence.checkpoint, figures, pairs=len(pairs))


def with_a_period(evidence: Evidence) -> Pairs:
    """Pairs whose documents have a period, and at least as many tokens that are none.

    Raises:
        NotMeasurable: there are too few; says how many.
    """
    some = evidence.collection.sample(evidence.n, EACH, evidence.seed)
    asked = [(qid, docid) for qid, docids in some.candidates.items() for docid in docids]
    pairs = evidence.pairs(
        [some.queries[qid] for qid, _ in asked], [some.documents[docid] for _, docid in asked]
    )
    periods = with_periods(pairs).where(PERIOD)
    n, size = periods.sum(dim=1), pairs.where("document").sum(dim=1)
    kept = ((n > 0) & (2 * n <= size)).nonzero()[:, 0].tolist()
    if len(kept) < QUERIES:
        raise NotMeasurable(
            f"{len(kept)} of {len(pairs)} documents have a period; {QUERIES} are needed"
        )
    return pairs.take(kept)


def figures_of(evidence: Evidence, pairs: Pairs) -> list[Figure]:
    """The attention that periods get, and what hiding them changes, beside other tokens.

    Raises:
        NotMeasurable: all pairs have the same score.
    """
    model = evidence.model
    whole = score(model, pairs)
    spread = whole.std()
    if not spread > 0:
        raise NotMeasurable(f"all {len(pairs)} pairs score alike, so that no change has a size")
    periods = with_periods(pairs).where(PERIOD)
    generator = torch.Generator().manual_seed(evidence.seed)
    sets = [periods, *(drawn(pairs, periods, generator) for _ in range(DRAWS))]
    read: list[Float[np.ndarray, " pair"]] = []
    moved: list[Float[np.ndarray, " pair"]] = []
    for done, chosen in enumerate(sets):
        evidence.watch("Hiding periods", done, len(sets))
        marked = pairs.with_roles(chosen.long(), ("rest", OTHER))
        share = attention_shares(model, marked, dst=ALL, src=(OTHER,))[OTHER]
        read.append(share.mean(dim=0).double().numpy(force=True))
        with model.hooked(*(token_mask(i, src=OTHER) for i in range(model.cfg.n_layers))):
            moved.append(np.abs(score(model, marked) - whole) / spread)
    evidence.watch("Hiding periods", len(sets), len(sets))
    return [
        mean_of(
            "share of attention that periods get",
            read[0],
            control=np.mean(read[1:], axis=0),
            expected="above that of as many other tokens",
            holds=lambda low, high, control: low > control,
            seed=evidence.seed,
        ),
        mean_of(
            "change of the score when they are hidden, in deviations",
            moved[0],
            control=np.mean(moved[1:], axis=0),
            expected="below that of as many other tokens",
            holds=lambda low, high, control: high < control,
            seed=evidence.seed,
        ),
    ]


def drawn(
    pairs: Pairs, periods: Bool[torch.Tensor, "pair pos"], generator: torch.Generator
) -> Bool[torch.Tensor, "pair pos"]:
    """As many other tokens of each document as it has periods."""
    free, found = pairs.where("document") & ~periods, torch.zeros_like(periods)
    for i, n in enumerate(periods.sum(dim=1).tolist()):
        places = free[i].nonzero()[:, 0]
        found[i, places[torch.randperm(len(places), generator=generator)[:n].to(places.device)]] = (
            True
        )
    return found


CLAIM: Final = Claim(
    name=NAME,
    claim="Periods receive much attention that the score hardly needs.",
    test="Periods of a document get more attention than as many of its other tokens, and move the "
    "score less when they are hidden.",
    source="Zhan, Mao, Liu, Zhang & Ma (2020), "
    "https://github.com/jingtaozhan/bert-ranking-analysis",
    known={},  # a statement about tokens; it names no member
    detect=detect,
)
