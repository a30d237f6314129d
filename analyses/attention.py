"""Does attention to matching terms tell which heads matter?

Every head is ranked twice: by its attention from query tokens to their copies in the
document, and by what patching it restores of a TFC1 contrast. In a planted model the truth is
known, and each ranking gets its AUROC; decoy heads attend to matches and write nothing. In any
other model the two rankings are held against each other.
"""

from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from crosslens import (
    Axioms,
    Circuit,
    CrossEncoder,
    patching,
    plant,
)
from crosslens.discovery import attention_to_matches
from crosslens.stats import auroc, spearman

from .running import Given


class Options(NamedTuple):
    pairs: int = 24


@dataclass(frozen=True)
class Answer:
    """One row per head, and how well each ranking does."""

    heads: pd.DataFrame  # unit, attention, recovered, is_member (where the truth is known)
    rankings: pd.DataFrame  # ranking, auroc; or the rank correlation of the two


def ranked_twice(model: CrossEncoder, axioms: Axioms, n: int, truth: Circuit | None) -> Answer:
    """Both rankings of all heads over `n` pairs."""
    contrast = axioms.tfc1(n)
    effects = patching(model, contrast, model.heads())
    attention = attention_to_matches(model, contrast.more).flatten()
    heads = pd.DataFrame(
        {
            "unit": [str(unit) for unit in effects.units],
            "attention": attention.numpy(),
            "recovered": effects.mean.numpy(),
        }
    )
    if truth is None:
        agreement = spearman(heads["attention"].to_numpy(), heads["recovered"].to_numpy())
        return Answer(heads, pd.DataFrame({"ranking": ["both"], "spearman": [agreement]}))
    heads["is_member"] = [unit in truth for unit in effects.units]
    found = {
        ranking: auroc(heads[ranking].to_numpy(), heads["is_member"].to_numpy())
        for ranking in ("attention", "recovered")
    }
    rankings = pd.DataFrame({"ranking": [*found], "auroc": [*found.values()]})
    return Answer(heads, rankings)


def analyse(given: Given) -> Answer:
    """Both rankings; the truth where the model is planted."""
    checkpoint = given.model.cfg.checkpoint
    truth = plant(checkpoint).circuit if checkpoint.startswith("planted:") else None
    axioms = Axioms(given.model, given.texts, seed=given.seed)
    return ranked_twice(given.model, axioms, given.pairs, truth)
