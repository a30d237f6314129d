"""The circuit in a report: the claims put to the test, the heads found, and where they stand.

claims, figures     the verdicts on the catalogue's claims, and what they rest on
circuit_nodes       one row per head of the traced circuit: its part, its effect, its route
circuit_edges       one row per path between heads, or to the score
"""

from collections.abc import Iterable

from crosslens.circuits.catalogue import CLAIMS
from crosslens.circuits.evidence import Evidence
from crosslens.circuits.examine import examine

from ..contrasts.axioms import Axioms
from ..contrasts.synonyms import LISTED, Neighbours
from ..corpora.collection import Collection
from ..findings import Findings
from ..model.encoder import CrossEncoder
from .question import Question, Watch
from .shortened import Shortened


ROOM = 64  # tokens that sentences and places of a term take beyond other edits


def gathered(
    model: CrossEncoder, collection: Collection, tokens: int, n: int, seed: int, watch: Watch
) -> Evidence:
    """The evidence of pairs of at most `tokens` tokens, with room where an edit needs it."""
    close = Neighbours(model.tokens.tokenizer, model.W_E)

    def axioms(limit: int) -> Axioms:
        return Axioms(
            Shortened(model, limit),
            collection,
            seed,
            near=lambda term, words: LISTED.get(term) or close(term, words),
        )

    return Evidence(model, axioms(tokens), n, axioms(tokens + ROOM), watch)


def examined(
    question: Question,
    model: CrossEncoder,
    collection: Collection,
    findings: Findings,
    watch: Watch,
    claims: Iterable[str] = CLAIMS,
) -> None:
    """The verdict on every claim, and the circuit they are about, into tables."""
    evidence = gathered(model, collection, question.tokens, question.pairs, question.seed, watch)
    examine([CLAIMS[name] for name in claims], evidence, findings)
