"""Matching heads: soft term frequency.

Claim.   Some heads read, at each query token, the document tokens that match it, so what
         they carry grows with the number of matches: a soft term frequency.
Test.    The chain of path patching has such heads, and MS_h, what the query term reads of the
         document, rises at them with one more match (T1), less with a soft one (T2), less and less
         with each further one (T3), and falls as the document grows (T4). Attention alone is no
         proof: a head may look at matches and write nothing. Patched together they must restore
         more of a TFC1 contrast than as many other heads (T5).
Source.  Lu, Chen & Eickhoff (2025), https://arxiv.org/abs/2502.04645, section 4.2. The heads are
         those of the authors' code, later version.
"""

from typing import Final

from crosslens import heads
from crosslens.attention import attention_similarity, length_curve, saturation_curve, soft_tf_gain

from . import embedded
from .claim import Claim, Figure, Known, mean_of, Verdict
from .evidence import Evidence, mean_over_heads


NAME: Final = "matching"
ROLE: Final = "matching"

# The 13 heads of the authors' code, later version, for this checkpoint.
KNOWN = {
    "cross-encoder/ms-marco-MiniLM-L-12-v2": heads(
        "7.9 8.1 4.9 2.1 8.8 6.5 1.7 5.7 5.9 3.1 8.0 6.3 0.8"
    ),
}


def detect(evidence: Evidence) -> Verdict:
    """Whether heads on the way to the score count matches as soft term frequency does."""
    figures = evidence.found(ROLE)
    if not all(each.holds for each in figures):
        return Verdict.by(NAME, evidence.checkpoint, figures)
    figures += [
        evidence.beside(
            "T1: rise of MS with one more match",
            soft_tf_gain(evidence.model, evidence.tfc1),
            evidence.members(ROLE),
            expected="above 0 and above other heads",
            holds=lambda low, high, control: low > max(0.0, control),
        ),
        *soft(evidence),
        *saturating(evidence),
        *shortening(evidence),
        evidence.carried(ROLE),
    ]
    found = frozenset(evidence.members(ROLE))
    return Verdict.by(NAME, evidence.checkpoint, figures, members=found)


def soft(evidence: Evidence) -> list[Figure]:
    """T2: a soft match raises MS as well, and attention goes with the likeness of embeddings."""
    members = evidence.members(ROLE)
    figures = []
    try:
        gain = soft_tf_gain(evidence.model, evidence.soft_matches)
        figures.append(evidence.beside("T2: rise of MS with one soft match", gain, members))
    except ValueError:  # these texts have no soft matches, which refutes nothing
        pass
    alike = attention_similarity(evidence.model, evidence.tfc1.more).cpu().double().numpy()
    figures.append(
        evidence.beside("T2: correlation of attention and embedding similarity", alike, members)
    )
    return figures


def saturating(evidence: Evidence) -> list[Figure]:
    """T3: the first of five matches adds more than the last."""
    try:
        curve = saturation_curve(
            evidence.model, evidence.saturation, evidence.members(ROLE)
        ).increments
    except ValueError:  # these texts have no such pairs
        return []
    bend = mean_over_heads(curve[:, 0] - curve[:, -1])
    rise = mean_over_heads(curve.sum(axis=1))
    return [
        mean_of("T3: rise of MS with five matches", rise, seed=evidence.seed),
        mean_of(
            "T3: what the first match adds above the fifth",
            bend,
            expected="above 0",
            holds=lambda low, high, control: low > 0,
            seed=evidence.seed,
        ),
    ]


def shortening(evidence: Evidence) -> list[Figure]:
    """T4: MS falls as irrelevant sentences are added."""
    try:
        curve = length_curve(evidence.model, evidence.lengthened, evidence.members(ROLE))
    except ValueError:  # these texts have no such pairs
        return []
    change = mean_over_heads(curve.value[:, -1] - curve.value[:, 0])
    return [mean_of("T4: change of MS with four irrelevant sentences", change, seed=evidence.seed)]


CLAIM: Final = Claim(
    name=NAME,
    claim="Some heads read, at each query token, the document tokens that match it: a soft term "
    "frequency that saturates.",
    test="What the query term reads of the document rises with a match, less with each further "
    "one, and the heads restore an added match, patched together, as others do not.",
    source="Lu, Chen & Eickhoff (2025), https://arxiv.org/abs/2502.04645",
    known={
        checkpoint: Known(members, "https://arxiv.org/abs/2502.04645", "authors' code")
        for checkpoint, members in KNOWN.items()
    }
    | embedded.known(ROLE),
    detect=detect,
)
