"""Document frequency: rarity is stored in the word embeddings, and the score reads it there.

Claim.   One direction of the word embedding matrix goes with inverse document frequency, and a
         term that is moved along it counts for more, as if it were rarer.
Test.    The direction is chosen on half of the tokens; its correlation with IDF on the other half
         stands beside the best that chance finds among as many directions. Then the selected
         terms of a TFC1 contrast are moved along it, from where common tokens stand to where rare
         ones do: the score must rise, and by more than steps along other singular directions
         move it. The authors' own edit, which multiplies the coordinate, stands beside it.
Source.  Lu, Chen & Eickhoff (2025), https://arxiv.org/abs/2502.04645. That U_0 and IDF correlate
         with r = -0.71 is reported by a later paper that read theirs (arXiv 2602.16299).
"""

from typing import Final

import numpy as np
import pandas as pd
import torch

from crosslens.idf import idf_correlations, idf_doses

from .claim import Claim, Figure, Known, mean_of, Verdict
from .evidence import Evidence, score


NAME: Final = "document-frequency"
LEAST: Final = 0.3  # a weaker correlation is no store of IDF
SCALES: Final = (1.0, 3.0)
RANDOM: Final = 4  # directions that the edit is compared with
RISE: Final = 0.05  # standard deviations of the scores


def detect(evidence: Evidence) -> Verdict:
    """Whether the embeddings hold IDF along a direction, and the score rises along it."""
    evidence.watch("Document frequency", 0, 2)
    direction, idf, pairs = evidence.idf, evidence.token_idf, evidence.tfc1.more
    table = idf_correlations(direction.directions, idf, seed=evidence.seed)
    correlation = stored(table, direction.k, direction.r)
    evidence.watch("Document frequency", 1, 2)

    doses = idf_doses(
        evidence.model,
        pairs,
        direction,
        scales=SCALES,
        targets=targets(idf.values),
        n_random=RANDOM,
        seed=evidence.seed,
    )
    deviation = float(np.std(score(evidence.model, pairs))) or 1.0
    evidence.watch("Document frequency", 2, 2)
    return Verdict.by(
        NAME,
        evidence.checkpoint,
        [correlation, *read(doses, deviation, evidence.seed)],
        tables={"directions": table, "doses": doses},
    )


def stored(table: pd.DataFrame, k: int, r: float) -> Figure:
    """How well the direction goes with IDF, on tokens that it was not chosen on."""
    row = table.set_index("k").loc[k]
    chance = float(row["chance"])
    return Figure(
        f"correlation of singular direction {k} with IDF",
        r,
        control=chance,
        n=int(row["n"]) if "n" in table else 0,
        expected=f"above {LEAST} and above chance",
        holds=bool(r > max(LEAST, chance)),
    )


def targets(idf: torch.Tensor) -> list[float]:
    """A common, a middling and a rare token's IDF."""
    known = idf[~idf.isnan()]
    return sorted({float(known.quantile(q)) for q in (0.1, 0.5, 0.9)})  # of few texts, fewer


def read(doses: pd.DataFrame, deviation: float, seed: int) -> list[Figure]:
    """How far the score rises along the direction, beside other directions."""
    rise = {edit: rises(part) / deviation for edit, part in doses.groupby("edit") if edit != "none"}
    # a random direction has no up: the size of its mean counts, not the sign
    other = float(np.mean([abs(rise[f"random {i}"].mean()) for i in range(RANDOM)]))
    return [
        mean_of(
            "rise of the score from a common to a rare token's place along it, in deviations",
            rise["to"],
            control=other,
            expected=f"above {RISE} and above steps along other directions",
            holds=lambda low, high, control: low > max(RISE, control),
            seed=seed,
        ),
        mean_of("the same, moved in the query only", rise["to in the query"], seed=seed),
        mean_of(
            "the same, coordinate times -3 to 3 as the authors do",
            rise["idf"],
            control=other,
            seed=seed,
        ),
        mean_of("the same, whole rows times -3 to 3 instead", rise["row"], seed=seed),
    ]


def rises(doses: pd.DataFrame) -> np.ndarray:
    """The change of each pair's score from the lowest dose to the highest."""
    table = doses.pivot(index="pair", columns="dose", values="score")
    return (table.iloc[:, -1] - table.iloc[:, 0]).to_numpy(dtype=float)


CLAIM: Final = Claim(
    name=NAME,
    claim="Inverse document frequency is stored along one direction of the word embeddings, and "
    "the score reads it there.",
    test="That direction goes with IDF on tokens it was not chosen on, and the score rises as "
    "terms are moved along it, more than along other directions.",
    source="Lu, Chen & Eickhoff (2025), https://arxiv.org/abs/2502.04645",
    known={
        "cross-encoder/ms-marco-MiniLM-L-12-v2": Known(
            frozenset(),
            "https://arxiv.org/abs/2502.04645",
            "a direction, U_0 with r = -0.71: reported by a paper that read it",
        )
    },
    detect=detect,
)
