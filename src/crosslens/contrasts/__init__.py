"""Minimal pairs that differ in one relevance signal, aligned token by token.

`contrast` is the value and the check that its sides align, `edits` the changes of text, `roles`
what each token is, `candidates` the order in which a collection is used, `synonyms` words close
in meaning, `axioms` the builders, and `catalogue` all of them by name.
"""

from .contrast import Minimal as Minimal
from .synonyms import Neighbours


__all__ = [
    "Neighbours",
]
