"""Observations to fit formulas to: of a planted model, and of one whose weights are random."""

from typing import NamedTuple

import pytest
from tiny import tiny

from crosslens import Collection, collection, head, load, plant, Unit
from crosslens.idf import idf_direction, TokenIdf
from crosslens.surrogate import observe_candidates, Observed


class Seen(NamedTuple):
    """A model's observations, which heads match terms, and both kinds of IDF."""

    observed: Observed
    matching: list[Unit]
    rarity: TokenIdf  # as the embeddings have it
    idf: TokenIdf  # as the collection has it


@pytest.fixture(scope="session")
def some() -> Collection:
    return collection().sample(12, 8)


@pytest.fixture(scope="session")
def seen(some: Collection) -> Seen:
    """No decoys: a head that attends to matches is as good a witness as the one that is read."""
    planted = plant("bm25?seed=1&decoys=0")
    model = load(planted)
    table = {str(piece): planted.frequencies.idf(piece) for piece in planted.frequencies.df}
    known = TokenIdf.of_table(planted.tokenizer, table)
    direction = idf_direction(model.W_E, known.log())
    rarity = TokenIdf(direction.values.exp(), known.is_whole, "the embeddings")
    observed = observe_candidates(model, some, model.heads())
    return Seen(observed, [*planted.circuit.roles["matching"]], rarity, known)


@pytest.fixture(scope="session")
def random(some: Collection) -> Seen:
    model = load(*tiny("bert"))
    known = TokenIdf.of_documents(model.tokens.tokenizer, some.documents.values())
    short = {docid: " ".join(text.split()[:6]) for docid, text in some.documents.items()}
    cut = Collection("short", some.queries, short, candidates=some.candidates)
    observed = observe_candidates(model, cut, model.heads())
    return Seen(observed, [head(0, 1)], known, known)
