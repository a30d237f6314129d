"""Does attention to matching terms show which heads matter?

Every head is ranked twice: by its attention from query tokens to their copies in the
document, and by what patching it restores of a TFC1 contrast. In a planted model the truth is
known, and each ranking gets its AUROC; decoy heads attend to matches and write nothing. In any
other model the rank correlation of the two is given.
"""

from dataclasses import dataclass

import pandas as pd

from crosslens import Axioms, patching, plant
from crosslens.discovery import attention_to_matches
from crosslens.stats import auroc, spearman

from .running import Given, main


@dataclass(frozen=True)
class Answer:
    """One row per head; and of each ranking its AUROC, or the correlation of the two."""

    heads: pd.DataFrame  # unit, attention, recovered, is_member (where the truth is known)
    rankings: pd.DataFrame  # ranking, auroc; or "both", spearman


def analyse(given: Given) -> Answer:
    """Both rankings of all heads."""
    heads = given.keep("heads", "all", lambda: ranked(given))
    if "is_member" not in heads:
        agreement = spearman(heads["attention"].to_numpy(), heads["recovered"].to_numpy())
        return Answer(heads, pd.DataFrame({"ranking": ["both"], "spearman": [agreement]}))
    found = {
        ranking: auroc(heads[ranking].to_numpy(), heads["is_member"].to_numpy())
        for ranking in ("attention", "recovered")
    }
    return Answer(heads, pd.DataFrame({"ranking": [*found], "auroc": [*found.values()]}))


def ranked(given: Given) -> pd.DataFrame:
    """Attention to matches and recovered effect of every head; membership in a planted circuit."""
    model = given.model
    contrast = Axioms(model, given.texts, seed=given.seed).tfc1(given.pairs)
    effects = patching(model, contrast, model.heads())
    heads = pd.DataFrame(
        {
            "unit": [str(unit) for unit in effects.units],
            "attention": attention_to_matches(model, contrast.more).flatten().numpy(force=True),
            "recovered": effects.mean.numpy(force=True),
        }
    )
    if model.cfg.checkpoint.startswith("planted:"):
        truth = plant(model.cfg.checkpoint).circuit
        heads["is_member"] = [unit in truth for unit in effects.units]
    return heads


if __name__ == "__main__":
    main(__spec__.name)
