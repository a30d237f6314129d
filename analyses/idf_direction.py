"""Is IDF stored along one direction of the embeddings, and does the score read it?

    python -m crosslens.analyses.idf_direction --model embedded --reader 5.1 --out runs/idf

First every singular direction of the word embeddings is correlated with IDF, with the rows as
they are (as the authors did) and centred. Then the coordinate of the selected term of TFC1 pairs
is turned up and down: the score, and what [CLS] reads of the term, should follow; controls of
the same size should not. `--authors` edits U_0 of the rows as they are, in place of the direction
that goes best with IDF.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crosslens import (
    Axioms,
    collection,
    Contrast,
    CrossEncoder,
    heads,
    load,
    Unit,
)
from crosslens.idf import (
    directions_of,
    dose_response,
    idf_correlations,
    idf_direction,
    idf_doses,
    TokenIdf,
)

from .rarity import add_options, rarity, Stored, stored
from .running import options, save


@dataclass(frozen=True)
class Findings:
    """One row per singular direction, one per pair and dose, and one per kind of edit."""

    directions: pd.DataFrame  # rows ("as they are", "centred"), k, pearson, low, high, chance, ...
    doses: pd.DataFrame  # pair, edit, dose, score, change, attention ...
    response: pd.DataFrame  # response, edit, monotone, low, high, lowest, highest, n


def trace(
    model: CrossEncoder,
    contrast: Contrast,
    idf: TokenIdf,
    held: Stored,
    *,
    readers: Sequence[Unit] = (),
    seed: int = 0,
) -> Findings:
    """The correlations of every direction, and the edit of the one that is `held` to be IDF's."""
    directions = [
        idf_correlations(directions_of(model.W_E, centre=centre), idf, seed=seed).assign(rows=rows)
        for rows, centre in (("as they are", False), ("centred", True))
    ]
    doses = idf_doses(
        model,
        contrast.more,
        held.direction,
        targets=targets(held, idf),
        readers=readers,
        seed=seed,
    )
    responses = ["score", *(name for name in doses.columns if name.startswith("attention"))]
    response = [
        dose_response(doses, response=name).assign(response=name, k=held.direction.k)
        for name in responses
    ]
    return Findings(pd.concat(directions), doses, pd.concat(response))


def targets(held: Stored, idf: TokenIdf) -> list[float]:
    """IDFs from the commonest token's to the rarest's, on the scale that is stored."""
    known = (idf.log() if held.is_log else idf).values
    known = known[idf.is_known & ~known.isnan()].numpy()
    return np.quantile(known, [0.0, 0.1, 0.25, 0.5, 0.75, 1.0]).tolist()


def authors(model: CrossEncoder, idf: TokenIdf) -> Stored:
    """The first direction, uncentred, whatever goes best with IDF."""
    direction = idf_direction(model.W_E, idf, centre=False, k=0)
    return Stored(direction, direction.values, is_log=False)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reader", default="", help="heads whose attention to look at: '10.1'")
    parser.add_argument("--authors", action="store_true", help="edit U_0 of the rows as they are")
    add_options(parser)
    given = options(parser, argv)
    model, asked = load(given.model), collection(given.collection)
    contrast = Axioms(model, asked, seed=given.seed).tfc1(given.pairs)
    idf = rarity(given, model, asked)
    findings = trace(
        model,
        contrast,
        idf,
        authors(model, idf) if given.authors else stored(model, idf),
        readers=sorted(heads(given.reader)),
        seed=given.seed,
    )
    save(
        given,
        __file__,
        {
            "directions": findings.directions,
            "doses": findings.doses,
            "response": findings.response,
        },
    )


if __name__ == "__main__":
    main()
