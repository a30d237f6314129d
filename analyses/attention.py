"""Does attention to matching terms tell which heads matter?

    python -m crosslens.analyses.attention --out runs/attention

Every head is ranked twice: by its attention from query tokens to their copies in the
document, and by what patching it restores of a TFC1 contrast. In a planted model the truth is
known, and each ranking gets its AUROC; decoy heads attend to matches and write nothing. In any
other model the two rankings are held against each other.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from crosslens import (
    Axioms,
    Circuit,
    collection,
    CrossEncoder,
    load,
    patching,
    plant,
)
from crosslens.discovery import attention_to_matches
from crosslens.stats import auroc, spearman

from .running import options, save


@dataclass(frozen=True)
class Findings:
    """One row per head, and how well each ranking does."""

    heads: pd.DataFrame  # unit, attention, recovered, is_member (where the truth is known)
    rankings: pd.DataFrame  # ranking, auroc; or the rank correlation of the two


def trace(model: CrossEncoder, axioms: Axioms, n: int, truth: Circuit | None) -> Findings:
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
        return Findings(heads, pd.DataFrame({"ranking": ["both"], "spearman": [agreement]}))
    heads["is_member"] = [unit in truth for unit in effects.units]
    found = {
        ranking: auroc(heads[ranking].to_numpy(), heads["is_member"].to_numpy())
        for ranking in ("attention", "recovered")
    }
    rankings = pd.DataFrame({"ranking": [*found], "auroc": [*found.values()]})
    return Findings(heads, rankings)


def main(argv: Sequence[str] | None = None) -> None:
    given = options(argparse.ArgumentParser(description=__doc__), argv, model="planted:bm25")
    is_planted = given.model.startswith("planted:")
    truth = plant(given.model).circuit if is_planted else None
    model = load(given.model)
    axioms = Axioms(model, collection(given.collection), seed=given.seed)
    findings = trace(model, axioms, given.pairs, truth)
    save(given, __file__, {"heads": findings.heads, "rankings": findings.rankings})


if __name__ == "__main__":
    main()
