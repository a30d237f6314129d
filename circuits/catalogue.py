"""The catalogue: every claim there is, by the name that the command line knows it by."""

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final

from . import (
    bm25,
    contextual,
    document_frequency,
    document_states,
    few_terms,
    matching,
    neurons,
    periods,
    relevance,
)
from .claim import Claim


CLAIMS: Final[Mapping[str, Claim[Any]]] = MappingProxyType(
    {
        each.name: each
        for each in (
            matching.CLAIM,
            contextual.CLAIM,
            relevance.CLAIM,
            document_frequency.CLAIM,
            neurons.CLAIM,
            bm25.CLAIM,
            few_terms.CLAIM,
            document_states.CLAIM,
            periods.CLAIM,
        )
    }
)
ALL: Final = "all"


def named(name: str) -> list[Claim[Any]]:
    """The claim with this name; with "all", every one.

    Raises:
        LookupError: there is none; says which name was meant.
    """
    if name == ALL:
        return list(CLAIMS.values())
    if name not in CLAIMS:
        close = get_close_matches(name, CLAIMS, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(CLAIMS)}"
        raise LookupError(f"no claim is called {name!r}; {hint}")
    return [CLAIMS[name]]
