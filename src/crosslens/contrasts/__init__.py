"""Minimal pairs that differ in one relevance signal, aligned token by token.

`contrast` is the value and the check that its sides align, `edits` the changes of text, `roles`
what each token is, `candidates` the order in which a collection is used, `synonyms` words close
in meaning, `axioms` the builders, `catalogue` all of them by name, and `shortened` a model that
reads shorter pairs.
"""

from .candidates import Candidates as Candidates
from .catalogue import AXIOMS as AXIOMS
from .contrast import Minimal as Minimal
from .shortened import Shortened
from .synonyms import are_inflections, LISTED as LISTED, Neighbours


__all__ = [
    "Neighbours",
    "Shortened",
    "are_inflections",
]
