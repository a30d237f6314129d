"""The members found in the embedded reranker, by this project's own tracing.

A run of `crosslens circuits test all` writes `members.py`: the lines of `FOUND` and `SOURCE` as
they belong here.
"""

from collections.abc import Mapping
from typing import Final

from crosslens import Circuit, heads, Unit

from .claim import Known


CHECKPOINT: Final = "embedded"
FOUND: Final[Mapping[str, frozenset[Unit]]] = {
    "contextual query representation": heads("3.9 4.4 4.7"),
    "matching": heads("0.8 1.1 2.9 3.1 3.3 3.5 4.1 4.3 4.5"),
    "relevance scoring": heads("4.6 4.8 4.9 5.0 5.1 5.2 5.3 5.4 5.5 5.6 5.7 5.8 5.9 5.10 5.11"),
}
SOURCE: Final = "traced by path patching of TFC1 and STMC1, 24 pairs each of trec-dl-2019"


def known(*roles: str) -> dict[str, Known]:
    """What is known of the embedded reranker's heads with these roles; nothing, untraced."""
    members = frozenset().union(*(FOUND.get(role, frozenset()) for role in roles))
    return {CHECKPOINT: Known(members, SOURCE, "traced by this project")} if members else {}


def as_code(circuit: Circuit, source: str) -> str:
    """A traced circuit as the lines of this module."""
    lines = ["FOUND: Final[Mapping[str, frozenset[Unit]]] = {"]
    for role, units in sorted(circuit.roles.items()):
        named = [
            f"{unit.site.layer}.{dict(unit.coordinates)['head']}"
            for unit in sorted(units)
            if unit.site.name == "z"
        ]
        lines.append(f'    "{role}": heads("{" ".join(named)}"),')
    return "\n".join([*lines, "}", f'SOURCE: Final = "{source}"', ""])
