"""Is IDF stored along one direction of the embeddings, and does the score read it?

First every singular direction of the word embeddings is correlated with IDF, with the rows as
they are (as the authors did) and centred. Then the coordinate of the selected term of TFC1 pairs
is turned up and down: the score, and what [CLS] reads of the term, should follow; controls of
the same size should not. `--authors` edits U_0 of the rows as they are, in place of the direction
that goes best with IDF.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd

from crosslens import Axioms, CrossEncoder, heads
from crosslens.idf import (
    directions_of,
    dose_response,
    idf_correlations,
    idf_direction,
    idf_doses,
    TokenIdf,
)

from .option_types import FrequencyDocuments, FrequencyFile
from .rarity import rarity, Stored, stored
from .running import Given, main


IS_SPLIT = True


class Options(NamedTuple):
    """Whose attention is observed, and what is edited."""

    reader: Annotated[str, "Heads whose attention is observed, as in '10.1 11.3'."] = ""
    authors: Annotated[bool, "Edit U_0 of the rows as they are."] = False
    df: FrequencyFile = None
    df_documents: FrequencyDocuments = None


@dataclass(frozen=True)
class Answer:
    """One row per singular direction, one per pair and dose, and one per kind of edit."""

    directions: pd.DataFrame  # rows ("as they are", "centred"), k, pearson, low, high, chance, ...
    doses: pd.DataFrame  # pair, edit, dose, score, change, attention ...
    response: pd.DataFrame  # response, edit, monotone, low, high, lowest, highest, n


def analyse(given: Given) -> Answer:
    """The correlations of every direction, and the edit of the one that is IDF's."""
    model, options = given.model, given.options
    idf = rarity(options, model, given.texts)
    rows = ("as they are", "centred")
    correlate = partial(correlated, given, idf)
    directions = given.table("Correlating", "directions", correlate, rows)
    held = authors(model, idf) if options.authors else stored(model, idf)
    doses = given.keep("doses", "all", partial(edited, given, idf, held))
    responses = ["score", *(name for name in doses.columns if name.startswith("attention"))]
    response = [
        dose_response(doses, response=name).assign(response=name, k=held.direction.k)
        for name in responses
    ]
    return Answer(directions, doses, pd.concat(response))


def correlated(given: Given, idf: TokenIdf, rows: str) -> pd.DataFrame:
    """Every singular direction of the embeddings, "as they are" or "centred", against IDF."""
    directions = directions_of(given.model.W_E, centre=rows == "centred")
    return idf_correlations(directions, idf, seed=given.seed).assign(rows=rows)


def edited(given: Given, idf: TokenIdf, held: Stored) -> pd.DataFrame:
    """The score, and what readers attend to, at each dose of IDF along the direction."""
    return idf_doses(
        given.model,
        Axioms(given.model, given.texts, seed=given.seed).tfc1(given.pairs).more,
        held.direction,
        targets=targets(held, idf),
        readers=sorted(heads(given.options.reader)),
        seed=given.seed,
    )


def targets(held: Stored, idf: TokenIdf) -> list[float]:
    """IDFs from the commonest token's to the rarest's, on the scale that is stored."""
    known = (idf.log() if held.is_log else idf).values
    known = known[idf.is_known & ~known.isnan()].numpy()
    return np.quantile(known, [0.0, 0.1, 0.25, 0.5, 0.75, 1.0]).tolist()


def authors(model: CrossEncoder, idf: TokenIdf) -> Stored:
    """The first direction, uncentred, whatever goes best with IDF."""
    direction = idf_direction(model.W_E, idf, centre=False, k=0)
    return Stored(direction, direction.values, is_log=False)


if __name__ == "__main__":
    main(__spec__.name)
